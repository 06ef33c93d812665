#!/usr/bin/env bash
# Builds the libFuzzer targets with clang and runs each on its corpus for SECONDS (default 60).
#   scripts/fuzz.sh [SECONDS] [name...]
# New inputs stay in build/fuzz/corpus/<name>; a crash leaves its input in build/fuzz/ and ends the run.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
[ $# -gt 0 ] && shift
scripts/build.sh fuzz fuzzers
names=("$@")
if [ ${#names[@]} -eq 0 ]; then
  for source in fuzz/fuzz_*.cpp; do
    name=$(basename "$source" .cpp)
    names+=("${name#fuzz_}")
  done
fi
for name in "${names[@]}"; do
  mkdir -p "build/fuzz/corpus/$name"
  printf '%s: ' "$name"
  log=build/fuzz/$name.log
  if ! "build/fuzz/fuzz/fuzz_$name" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 \
    -artifact_prefix=build/fuzz/ "build/fuzz/corpus/$name" "fuzz/corpus/$name" 2> "$log"; then
    tail -n 40 "$log"
    exit 1
  fi
  tail -n 1 "$log"
done
