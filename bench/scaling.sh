#!/usr/bin/env bash
# Speed over the number of threads: prefill and decode tokens/s, and how many times one thread's they are.
#   bench/scaling.sh [MODEL] [THREADS...]
# Without MODEL a synthetic one of Qwen3-1.7B's shape is compressed to tq3 first (0.7 GB below TMPDIR, removed at the
# end). THREADS: by default the powers of two up to the CPUs this process may use, and those.
# TQ: the program (build/release/tq).
set -euo pipefail
cd "$(dirname "$0")/.."

tq=${TQ:-build/release/tq}
model=${1:-}
cpus=$(nproc)
threads=("${@:2}")
if [ ${#threads[@]} -eq 0 ]; then
  for ((t = 1; t < cpus; t *= 2)); do threads+=("$t"); done
  threads+=("$cpus")
fi
if [ -z "$model" ]; then
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  "$tq" convert synth:qwen3-1.7B "$folder/tq3" --format tq3 --effort fast --quiet >&2
  model=$folder/tq3
fi

echo "| threads | prefill 256, tokens/s | times one thread | decode, tokens/s | times one thread | weights GB/s |"
echo "|---|---|---|---|---|---|"
for t in "${threads[@]}"; do
  "$tq" bench "$model" -p 256 -n 32 -r 3 --threads "$t" --json --quiet --progress off
done | python3 -c '
import json, sys
decoder, text, first = json.JSONDecoder(), sys.stdin.read(), None
threads = sys.argv[1:]
while text.strip():
    run, end = decoder.raw_decode(text.lstrip())
    text = text.lstrip()[end:]
    rate = {r["test"]: r for r in run["results"]}
    prefill, decode = (rate[test]["tokens_per_s"] for test in ("prefill", "decode"))
    bandwidth = rate["decode"]["weight_gb_per_s"]
    first = first or (prefill, decode)
    print(f"| {threads.pop(0)} | {prefill:.1f} | {prefill / first[0]:.2f} | {decode:.2f} |"
          f" {decode / first[1]:.2f} | {bandwidth:.1f} |")
' "${threads[@]}"
