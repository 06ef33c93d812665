#!/usr/bin/env bash
# From nothing to an answer: installs what is needed, builds, fetches SmolLM2-135M-Instruct (90 MB), compresses
# it, compares it with its source and lets it answer.
#   scripts/demo.sh ["your question"]
set -euo pipefail
cd "$(dirname "$0")/.."

question=${1:-"What is the capital of France, and what is it famous for?"}
text=models/demo-text.txt # the beginning of a text that every Debian machine has

step() { printf '\n== %s\n' "$1"; }

scripts/install_deps.sh
step "build"
scripts/build.sh release tq
tq=build/release/tq
step "model"
source=$(scripts/fetch_model.sh smollm2)
compressed=models/SmolLM2-135M-Instruct-tq
"$tq" inspect "$source"
step "compress: $source -> $compressed"
"$tq" convert "$source" "$compressed" --overwrite
printf 'size before: %s MB, after: %s MB\n' \
  "$(du -sm --apparent-size "$source" | cut -f1)" "$(du -cm --apparent-size "$compressed"/*.safetensors | tail -1 | cut -f1)"
head -c 8000 /usr/share/common-licenses/GPL-3 > "$text"
step "perplexity on $text: source, then compressed"
"$tq" eval ppl "$source" --text "$text" --ctx 512
"$tq" eval ppl "$compressed" --text "$text" --ctx 512
step "speed"
"$tq" bench "$compressed" -p 128 -n 32 -c 1
step "answer"
printf '> %s\n' "$question"
"$tq" run "$compressed" "$question" --max-tokens 80
