#!/usr/bin/env bash
# Compares tq with llama.cpp on this machine: runs both in turn on two small models. docs/performance.md says
# what is measured. What is needed (setup.sh) and the report go to build/peers.
#   bench/peers/run.sh [options of compare.py, e.g. --rounds 3 --model smollm2]
set -euo pipefail
cd "$(dirname "$0")/../.."
. bench/peers/setup.sh
build_llama_cpp
exec "$python" bench/peers/compare.py --cache "$cache" "$@"
