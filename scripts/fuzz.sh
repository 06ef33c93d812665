#!/usr/bin/env bash
# Builds the libFuzzer targets with clang and runs each on its corpus, SECONDS long (default 60), as
# many at a time as there are CPUs.
#   scripts/fuzz.sh [--nightly] [--runs N] [SECONDS] [name...]
#   --nightly   an hour each unless SECONDS says otherwise, and no input may take more than 1 s
#   --runs N    ends a fuzzer after N inputs too
# New inputs stay in build/fuzz/corpus/<name>; a finding leaves its input in build/fuzz/NAME-... and
# ends the run. Prints how many inputs each fuzzer was given.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=60
timeout=20  # of one input: short runs share their CPUs with the rest of CI
runs=-1
while [ $# -gt 0 ]; do
  case $1 in
    --nightly) seconds=3600 timeout=1 && shift ;;
    --runs) runs=$2 && shift 2 ;;
    *) break ;;
  esac
done
if [[ ${1:-} =~ ^[0-9]+$ ]]; then
  seconds=$1
  shift
fi
names=("$@")
if [ ${#names[@]} -eq 0 ]; then
  for source in fuzz/fuzz_*.cpp; do
    name=$(basename "$source" .cpp)
    names+=("${name#fuzz_}")
  done
fi
scripts/build.sh fuzz "${names[@]/#/fuzz_}"

# One fuzzer; its line is printed when it has ended.
run_one() {
  local name=$1 log=build/fuzz/$1.log
  mkdir -p "build/fuzz/corpus/$name"
  if ! "build/fuzz/fuzz/fuzz_$name" -max_total_time="$seconds" -runs="$runs" -timeout="$timeout" \
    -rss_limit_mb=2048 -artifact_prefix="build/fuzz/$name-" "build/fuzz/corpus/$name" \
    "fuzz/corpus/$name" 2> "$log"; then
    printf '%s: FAILED\n%s\n' "$name" "$(tail -n 40 "$log")"
    return 255 # ends the others, too
  fi
  printf '%s: %s\n' "$name" "$(tail -n 1 "$log")"
}
export -f run_one
export seconds runs timeout
printf '%s\n' "${names[@]}" | xargs -P "$(nproc)" -I{} bash -c 'run_one {}'
