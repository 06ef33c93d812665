#!/usr/bin/env bash
# What each storage format costs a model: converts SRC to each, compares it with SRC over the first TOKENS tokens of
# TEXT, and prints the rows for src/convert/quality.cpp.
#   bench/quality.sh SRC TEXT TOKENS [FORMAT...]      TQ=build/release/tq, WORK=a folder with space for one conversion
set -euo pipefail
cd "$(dirname "$0")/.."

tq=${TQ:-build/release/tq}
src=$1 text=$2 tokens=$3
shift 3
[ $# -gt 0 ] || set -- auto tq8 tq6 tq5 tq4 tq3 tq2
work=$(mktemp -d "${WORK:-/tmp}/quality.XXXXXX")
trap 'rm -rf "$work"' EXIT

"$tq" --quiet eval kld "$src" --save-reference "$work/reference" --text "$text" --max-tokens "$tokens" \
  --ctx "$tokens" >/dev/null
"$tq" --json inspect "$src" >"$work/inspect.json"
for format in "$@"; do
  "$tq" --quiet convert "$src" "$work/tq" --format "$format" >/dev/null
  "$tq" --json eval kld "$work/tq" --reference-logits "$work/reference" --ctx "$tokens" >"$work/kld.json"
  rm -r "$work/tq"
  python3 - "$work" "$format" "$(basename "$src")" <<'PYTHON'
import json, sys
work, plan, model = sys.argv[1:]
shape = json.load(open(work + "/inspect.json"))["model"]
result = json.load(open(work + "/kld.json"))
print(f'    {{{{"{shape["arch"]}", {shape["hidden"]}, {shape["n_layers"]}, {shape["parameters"]}}},'
      f' {{"{model}", "{plan}", {result["kld"]:.4f}, {result["kld_se"]:.4f}, {result["ppl_ratio"]:.4f}}}}},', flush=True)
PYTHON
done
