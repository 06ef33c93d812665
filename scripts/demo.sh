#!/usr/bin/env bash
# From nothing to an answer: takes the installed tq, or installs what a build needs and builds it (with CUDA
# where there is a GPU); fetches SmolLM2-135M-Instruct (90 MB), compresses it, compares it with its source and
# lets it answer.
#   scripts/demo.sh ["your question"]
#   scripts/demo.sh --build ...      builds even though the package is installed
#   scripts/demo.sh --configure      only configures the build, as the test of these scripts does
set -euo pipefail
cd "$(dirname "$0")/.."

mode=
case ${1:-} in
  --build | --configure)
    mode=$1
    shift
    ;;
esac
question=${1:-"What is the capital of France, and what is it famous for?"}
text=models/demo-text.txt # the beginning of the licence that every Debian machine has

step() { printf '\n== %s\n' "$1"; }

# The package's program, and not another one of that name.
installed_tq() {
  [ -z "$mode" ] && command -v tq >/dev/null && tq version 2>/dev/null | grep -q 'turboquant.cpp' &&
    command -v tq
}

if tq=$(installed_tq); then
  step "installed: $tq"
  python3 -m pip --version >/dev/null 2>&1 || scripts/install_deps.sh build # fetches the model
else
  scripts/install_deps.sh build
  # The compiler is worth its 104 MB where there is a GPU.
  if nvidia-smi -L >/dev/null 2>&1; then scripts/install_cuda.sh; fi
  step "build"
  [ "$mode" = --configure ] && exec scripts/build.sh --configure release
  scripts/build.sh release tq
  tq=build/release/tq
fi
"$tq" version
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
