// What the GPU benchmarks share: memory, timed graphs and the lines of the table.
#pragma once

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/math.h"
#include "kernels/cuda/ops.h"

namespace tq::bench {

inline void check(cudaError_t error) {
  if (error != cudaSuccess) fail(ErrorCode::kDevice, "bench: {}", cudaGetErrorString(error));
}

constexpr int64_t kArenaBytes = int64_t{12} << 30;
constexpr int kLaunches = 24;  // in a timed graph

class Bench {
 public:
  explicit Bench(std::string filter) : filter_(std::move(filter)) {
    check(cudaStreamCreate(&stream_));
    check(cudaMalloc(reinterpret_cast<void**>(&arena_), kArenaBytes));
    fill_arena();
    check(cudaMalloc(reinterpret_cast<void**>(&scratch_), kScratchBytes));
    std::vector<float> x(kRegionBytes / sizeof(float));
    std::mt19937 random(1);
    for (float& value : x) value = static_cast<float>(random() % 2001) * 1e-3f - 1.0f;
    check(cudaMemcpy(scratch_, x.data(), kRegionBytes, cudaMemcpyHostToDevice));
  }

  // Copies of 4 GiB, straight from the stream.
  void measure_copy() {
    const size_t bytes = size_t{4} << 30;
    cudaEvent_t begin, end;
    check(cudaEventCreate(&begin));
    check(cudaEventCreate(&end));
    float ms = 0;
    for (int repeat = 0; repeat < 2; ++repeat) {
      check(cudaEventRecord(begin, stream_));
      for (int i = 0; i < 5; ++i) {
        check(cudaMemcpyAsync(arena_ + bytes, arena_, bytes, cudaMemcpyDeviceToDevice, stream_));
      }
      check(cudaEventRecord(end, stream_));
      check(cudaEventSynchronize(end));
      check(cudaEventElapsedTime(&ms, begin, end));
    }
    copy_gb_per_s_ = 5 * 2.0 * static_cast<double>(bytes) / double{ms} * 1e-6;
    std::printf("copy: %.0f GB/s read and written\n", copy_gb_per_s_);
  }

  // Microseconds of one of `n` calls of run(i), enqueued as a graph.
  double time_us(const std::function<void(int)>& run, int n = kLaunches) {
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeGlobal));
    for (int i = 0; i < n; ++i) run(i);
    check(cudaStreamEndCapture(stream_, &graph));
    check(cudaGraphInstantiate(&executable, graph, 0));
    cudaEvent_t begin, end;
    check(cudaEventCreate(&begin));
    check(cudaEventCreate(&end));
    std::vector<float> times;
    for (int repeat = 0; repeat < 7; ++repeat) {
      check(cudaEventRecord(begin, stream_));
      check(cudaGraphLaunch(executable, stream_));
      check(cudaEventRecord(end, stream_));
      check(cudaEventSynchronize(end));
      float ms;
      check(cudaEventElapsedTime(&ms, begin, end));
      if (repeat >= 2) times.push_back(ms);
    }
    check(cudaGraphExecDestroy(executable));
    check(cudaGraphDestroy(graph));
    check(cudaEventDestroy(begin));
    check(cudaEventDestroy(end));
    std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
    return double{times[times.size() / 2]} * 1e3 / n;
  }

  // A line of the table. bytes: what must be read; macs: multiplications, for prefill lines.
  void report(const std::string& name, double bytes, double macs,
              const std::function<void(int)>& run) {
    if (name.find(filter_) == std::string::npos) return;
    const double us = time_us(run, macs > 2e10 ? 4 : kLaunches);
    const double gb_per_s = bytes / us * 1e-3;
    std::printf("%-52s %8.2f us %7.0f GB/s %4.0f %%", name.c_str(), us, gb_per_s,
                100 * gb_per_s / copy_gb_per_s_);
    if (macs > 0) std::printf(" %7.1f TOP/s", 2 * macs / us * 1e-6);
    std::printf("\n");
    std::fflush(stdout);
  }

  bool wants(const std::string& name) const { return name.find(filter_) != std::string::npos; }
  cudaStream_t stream() const { return stream_; }
  // The i-th of as many disjoint pieces as the arena has; wraps around.
  const uint8_t* weights(int64_t bytes, int64_t i) const {
    const int64_t piece = round_up(bytes, 256);
    return arena_ + i % (kArenaBytes / piece) * piece;
  }
  // Scratch: the first region holds activations in [-1, 1].
  float* input() const { return reinterpret_cast<float*>(scratch_); }
  uint8_t* prepared() const { return scratch_ + kRegionBytes; }
  float* output() const { return reinterpret_cast<float*>(scratch_ + 2 * kRegionBytes); }
  static constexpr int64_t kRegionBytes = int64_t{512} << 20;
  static constexpr int64_t kScratchBytes = int64_t{8} << 30;

 private:
  // Random codes. Gains are random bits too: what they are does not change the time.
  void fill_arena() {
    std::vector<uint32_t> data(int64_t{64} << 18);
    std::mt19937 random(2);
    for (uint32_t& word : data) word = static_cast<uint32_t>(random()) & 0xbfffbfffu;
    const auto bytes = static_cast<int64_t>(data.size() * sizeof(uint32_t));
    for (int64_t at = 0; at < kArenaBytes; at += bytes) {
      check(cudaMemcpy(arena_ + at, data.data(),
                       static_cast<size_t>(std::min(bytes, kArenaBytes - at)),
                       cudaMemcpyHostToDevice));
    }
  }

  std::string filter_;
  cudaStream_t stream_ = nullptr;
  uint8_t* arena_ = nullptr;
  uint8_t* scratch_ = nullptr;
  double copy_gb_per_s_ = 1;
};

inline WeightView make_view(const char* format, int64_t rows, int64_t in) {
  return weight_shape(*find_format(format), rows, in);
}

inline Activation prepare(const Bench& bench, const WeightView& weight, int64_t tokens) {
  return cuda::prepare({bench.input(), tokens, weight.in, weight.in_padded, weight.group,
                        weight.traits().input, bench.prepared()},
                       false, bench.stream());
}

// One decode step of whole models, and what each operator adds to it. `format`: of their matrices.
void bench_steps(Bench& bench, const std::string& format);
// The kernels that a product may take, side by side.
void bench_tiers(Bench& bench, const char* format);
void bench_sampling(Bench& bench);
void bench_attention(Bench& bench);

}  // namespace tq::bench
