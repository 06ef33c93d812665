#!/usr/bin/env bash
# What formats and plans cost a model, ours and llama.cpp's, all made from one 16-bit source: docs/quality.md says how.
#   bench/plans/run.sh MODEL.gguf TEXT [options of study.py, e.g. --draws 3 --tokens 4096 --peers]
# Needs TQ (build/release/tq) and in WORK (build/plans) room for two 16-bit copies of the model and the reference's
# logits. A second run takes up where the first ended.
set -euo pipefail
cd "$(dirname "$0")/../.."
. bench/peers/setup.sh
case " $* " in *" --peers "*) build_llama_cpp ;; esac
exec "$python" bench/plans/study.py --tq "${TQ:-build/release/tq}" --work "${WORK:-build/plans}" "$@"
