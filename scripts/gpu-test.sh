#!/usr/bin/env bash
# Builds and runs all GPU tests and benchmarks. Needs a GPU and no network.
#   scripts/gpu-test.sh                  build here (cmake preset "cuda") and run
#   scripts/gpu-test.sh --virtual        the same of a build for compute_80 alone, which the driver compiles for
#                                        this GPU: what owners of GPUs get that the build has no code for
#   scripts/gpu-test.sh --pack DIR       build and put the programs with their libraries into DIR, to
#                                        run on a machine that has a GPU but cannot build
#   scripts/gpu-test.sh --packed DIR     run such programs
# Models of the published sizes are compared with the CPU (60 GB of memory, 5 minutes), unless TQ_GPU_FULL=0.
# TQ_GPU_SANITIZE=1 runs kernel tests and small models once more under compute-sanitizer (memcheck and
# racecheck), all at once, 9 minutes at most; TQ_GPU_SANITIZE=only runs nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=build/cuda/pack
if [ "${1:-}" = --packed ]; then
  dir=$2
else
  build=${TQ_GPU_BUILD:-build/cuda}
  if [ "${1:-}" = --virtual ]; then
    build=${TQ_GPU_BUILD:-build/cuda-virtual}
    export CUDAARCHS=80-virtual
    dir=$build/pack
  fi
  [ "${1:-}" = --pack ] && dir=$2
  [ -f "$build/build.ninja" ] || cmake --preset cuda -B "$build"
  ninja -C "$build" test_gpu test_model test_engine bench_gpu tq
  mkdir -p "$dir/lib"
  cp "$build/tests/gpu/test_gpu" "$build/tests/test_model" "$build/tests/test_engine" \
    "$build/bench/gpu/bench_gpu" "$build/tq" "$dir"
  # What a bare machine lacks.
  ldd "$dir/test_model" "$dir/tq" | awk '/fmt|simdjson|xxhash|pcre2|utf8proc|edit|bsd|libmd/ {print $3}' |
    sort -u | xargs -I{} cp -L {} "$dir/lib"
  [ "${1:-}" = --pack ] && exit 0
fi

export LD_LIBRARY_PATH="$PWD/$dir/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export TQ_FORCE_ISA=generic  # what the kernels are compared with
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
status=0

run_tests() {
  "$dir/test_gpu" --gtest_brief=1 ${TQ_GPU_FILTER:+--gtest_filter="$TQ_GPU_FILTER"} || status=1
  # What GPUs of other kinds take: less shared memory, older instructions, no sm_90a.
  for gpu in 80 86 120; do
    TQ_FORCE_GPU=$gpu "$dir/test_gpu" --gtest_brief=1 --gtest_filter="${TQ_GPU_FILTER:-*}:-GpuEncode*" || status=1
  done
  if [ "${TQ_GPU_FULL:-1}" = 1 ]; then
    TQ_FORCE_ISA= TQ_TEST_FULL_SIZE=1 "$dir/test_gpu" --gtest_filter='*GpuFullSize*' || status=1
  fi
  # Every golden checkpoint, and all else that is tested of models, on the GPU.
  TQ_TEST_DEVICE=cuda TQ_TEST_DATA=$PWD/tests "$dir/test_model" --gtest_brief=1 \
    --gtest_filter='-*ThreadCount:*MappedWeightsAreNotCopied' || status=1
  # Those that compare with other implementations once more with 16-bit products throughout.
  TQ_TEST_DEVICE=cuda TQ_TEST_KERNELS=dequant TQ_TEST_DATA=$PWD/tests "$dir/test_model" \
    --gtest_brief=1 --gtest_filter='*GoldenTest.FullPass*:*GoldenTest.PrefillThenDecode*:*CompressedTest*:*MeasureTest*' ||
    status=1
  # Sampling on the GPU, and that logits which come here give the same tokens.
  TQ_TEST_DEVICE=cuda TQ_TEST_DATA=$PWD/tests "$dir/test_engine" --gtest_brief=1 \
    --gtest_filter='*GoldenSampling*' || status=1
}

# One tool over some tests: TOOL PROGRAM FILTER.
sanitize() {
  local log result=0 start=$SECONDS
  log=$(mktemp)
  TQ_TEST_DEVICE=cuda TQ_TEST_DATA=$PWD/tests timeout 540 compute-sanitizer --tool "$1" --error-exitcode 1 \
    "$dir/$2" --gtest_brief=1 --gtest_filter="$3" >"$log" 2>&1 || result=$?
  echo "$1, $2 $3: $([ $result = 0 ] && echo clean || echo "exit status $result"), $((SECONDS - start)) s"
  [ $result = 0 ] || tail -n 20 "$log"
  rm -f "$log"
  return $result
}

run_sanitizers() {
  local pids=()
  for tool in memcheck racecheck; do  # side by side: they wait for the host most of the time
    for filter in '*GpuFused.G*tq3' '*GpuFused.M*tq3:*GpuFused.P*tq3' \
      '*GpuMatmul.ExpertsE*tq3:*GpuMatmul.H*tq3' '*GpuMatmul.B*tq3:*GpuMatmul.B*tq4' \
      'GpuRoute*:*GpuPrepare*:GpuElementwise*' \
      'GpuSample.B*:GpuSample.F*:GpuEncodeChecks*' 'GpuDequantGraph*:*GpuDequant.*Experts*tq3' \
      'GpuAttention.BitsD*' 'GpuAttention.D*' 'GpuAttention.M*:GpuAttention.V*' 'GpuAttention.P*' \
      '*GpuMatmul.E*bf16' \
      '*GpuDecode*:*GpuLatent*:*GpuRouter*:*GpuNextInputs*'; do
      sanitize $tool test_gpu "$filter" &
      pids+=($!)
    done
    for filter in '*GoldenTest.FullPass*' '*GoldenTest.PrefillThenDecode*' '*ForwardTest*'; do
      sanitize $tool test_model "$filter" &
      pids+=($!)
    done
  done
  for pid in "${pids[@]}"; do wait "$pid" || status=1; done
}

[ "${TQ_GPU_SANITIZE:-0}" = only ] || run_tests
[ "${TQ_GPU_SANITIZE:-0}" = 0 ] || run_sanitizers
[ "${TQ_GPU_SANITIZE:-0}" = only ] || "$dir/bench_gpu" ${TQ_GPU_BENCH:-} || status=1
exit $status
