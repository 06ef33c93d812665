#!/usr/bin/env bash
# Kills, faults, flipped bits and mutated files against build/release/tq, an hour of them or as asked: see
# scripts/soak.py --help. One summary line at the end; not 0 when anything was found.
set -euo pipefail
cd "$(dirname "$0")/.."

export TQ_BINARY=${TQ_BINARY:-build/release/tq}
[ -x "$TQ_BINARY" ] || scripts/build.sh release tq
exec python3 scripts/soak.py "$@"
