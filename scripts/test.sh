#!/usr/bin/env bash
# Installs what is needed, builds, and runs every test. The one command a developer and CI use.
#   scripts/test.sh             everything
#   scripts/test.sh --extended  also the tests that need larger models (740 MB of downloads), the packages openai, anthropic, schemathesis and huggingface_hub, Chromium and wrk
#   scripts/test.sh --configure only configures the release build, as the test of these scripts does
set -euo pipefail
cd "$(dirname "$0")/.."

extended=0
[ "${1:-}" = --extended ] && extended=1

step() { printf '\n== %s (%s)\n' "$1" "$(date +%T)"; }

step "packages"
scripts/install_deps.sh build test python
scripts/install_cuda.sh  # the CUDA kernels are compiled where there is no GPU, too
# Without a GPU, for one kind and hardly optimized: each takes minutes. What a build folder has been made for stays.
if ! nvidia-smi -L >/dev/null 2>&1 &&
  ! grep -qs '^TQ_CUDA_ARCHITECTURES_SET:INTERNAL=.' build/release/CMakeCache.txt; then
  export CUDAARCHS=${CUDAARCHS:-90a-real} TQ_CUDA_QUICK=ON
fi
if [ "${1:-}" = --configure ]; then exec scripts/build.sh --configure release; fi
step "style, layers, sizes"
scripts/check_style.sh
step "models"
TQ_TEST_SMOLLM2="$PWD/$(scripts/fetch_model.sh smollm2)"
export TQ_TEST_SMOLLM2
if [ $extended = 1 ]; then
  TQ_TEST_GEMMA3="$PWD/$(scripts/fetch_model.sh gemma3)"
  export TQ_TEST_GEMMA3
  TQ_TEST_QWEN25="$PWD/$(scripts/fetch_model.sh qwen2.5-0.5b)"
  export TQ_TEST_QWEN25
  # The official clients of OpenAI's and Anthropic's API, for tests/cli/test_client_packages.py.
  [ -d build/clients/anthropic ] || python3 -m pip install -q --target build/clients openai anthropic
  export TQ_CLIENTS="$PWD/build/clients"
  # What tries an OpenAPI document out on its server, for tests/cli/test_openapi.py.
  [ -d build/schemathesis/schemathesis ] || python3 -m pip install -q --target build/schemathesis schemathesis
  export TQ_SCHEMATHESIS="$PWD/build/schemathesis"
  # What shares its cache of models with tq pull, for tests/cli/test_hub_package.py.
  [ -d build/hub_package/huggingface_hub ] || python3 -m pip install -q --target build/hub_package huggingface_hub
  export TQ_HUB_PACKAGE="$PWD/build/hub_package"
  scripts/install_deps.sh extended
  TQ_BROWSER=$(command -v chromium)
  TQ_WRK=$(command -v wrk)
  export TQ_BROWSER TQ_WRK
fi

step "release build"
[ $extended = 1 ] || export TQ_NUMERIC_TESTS=1  # the sanitizers' build has the others
scripts/build.sh release
unset TQ_NUMERIC_TESTS
step "unit tests under ASan and UBSan"
scripts/build.sh fuzz unit_tests fuzzers
ctest --test-dir build/fuzz -L unit --no-tests=error -j "$(nproc)" -Q -O build/fuzz/ctest.log \
  --output-on-failure || { tail -n 200 build/fuzz/ctest.log; exit 1; }
grep "tests passed" build/fuzz/ctest.log
step "fuzzers, a short run each"
scripts/fuzz.sh 10
step "all tests"
ctest --test-dir build/release --output-on-failure --no-tests=error -j "$(nproc)"
