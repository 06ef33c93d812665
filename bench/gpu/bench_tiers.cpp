// The kernels of one product side by side, where kAuto has a choice: its thresholds
// (kernels/cuda/product_kernels.cu) are set by these lines.
#include "bench.h"

namespace tq::bench {
namespace {

using cuda::ProductOptions;
using cuda::Tier;

struct Choice {
  const char* name;
  ProductOptions options;
};

// With scratch behind the outputs.
std::vector<Choice> choices(const Bench& bench, bool coded, bool dense) {
  ProductOptions own = Tier::kDequant;
  own.scratch = bench.prepared() + Bench::kRegionBytes / 2;
  ProductOptions blas = own;
  blas.cublaslt = true;
  std::vector<Choice> all = {{coded ? "fused" : "plain", coded ? Tier::kFused : Tier::kReference},
                             {"tensor16", own}};
  if (dense && cuda::cublaslt_problem() == nullptr) all.push_back({"cublaslt", blas});
  return all;
}

void report(Bench& bench, const std::string& name, double bytes, double macs,
            const std::function<void(int)>& run) {
  if (!bench.wants(name)) return;
  run(0);  // libraries load kernels, which a graph cannot
  check(cudaStreamSynchronize(bench.stream()));
  bench.report(name, bytes, macs, run);
}

void bench_dense(Bench& bench, const char* format, int64_t rows, int64_t in,
                 const std::vector<int64_t>& token_counts) {
  const WeightView view = make_view(format, rows, in);
  const int64_t bytes = cuda::relayout_bytes(view);
  for (const int64_t tokens : token_counts) {
    const Activation x = prepare(bench, view, tokens);
    for (const Choice& choice : choices(bench, view.traits().has_scales, true)) {
      if (choice.options.tier == Tier::kReference && tokens > 256) continue;
      report(bench, fmt::format("tiers {} {}x{} M={} {}", format, rows, in, tokens, choice.name),
             static_cast<double>(bytes), static_cast<double>(rows * in * tokens), [&](int i) {
               WeightView weight = view;
               weight.codes = bench.weights(bytes, i);
               cuda::matmul({.weight = weight, .x = x, .out = bench.output()}, choice.options,
                            bench.stream());
             });
    }
  }
}

// `each` tokens for every expert, of a random permutation.
void bench_experts(Bench& bench, const char* format, int64_t rows, int64_t in,
                   const std::vector<int64_t>& tokens_each) {
  constexpr int64_t kExperts = 128, kTopK = 8;
  const WeightView view = make_view(format, rows, in);
  const int64_t bytes = cuda::relayout_bytes(view);
  std::vector<const uint8_t*> pointers;
  for (int64_t i = 0; i < kLaunches * kExperts; ++i) pointers.push_back(bench.weights(bytes, i));
  const uint8_t** tables;
  check(cudaMalloc(reinterpret_cast<void**>(&tables), pointers.size() * sizeof(pointers[0])));
  check(cudaMemcpy(tables, pointers.data(), pointers.size() * sizeof(pointers[0]),
                   cudaMemcpyHostToDevice));
  for (const int64_t each : tokens_each) {
    const int64_t pairs = each * kExperts, tokens = pairs / kTopK;
    std::mt19937 random(5);
    std::vector<int32_t> integers;  // begin, then the pairs' tokens
    for (int32_t e = 0; e <= kExperts; ++e) integers.push_back(e * static_cast<int32_t>(each));
    // Loads as random routing makes them: each a third more or less.
    for (size_t e = 1; e < kExperts; ++e) {
      integers[e] += static_cast<int32_t>(random() % static_cast<uint32_t>(each / 3 + 1));
    }
    for (int64_t i = 0; i < pairs; ++i) {
      integers.push_back(static_cast<int32_t>(random() % static_cast<uint32_t>(tokens)));
    }
    int32_t* begin;
    check(cudaMalloc(reinterpret_cast<void**>(&begin), integers.size() * sizeof(int32_t)));
    check(cudaMemcpy(begin, integers.data(), integers.size() * sizeof(int32_t),
                     cudaMemcpyHostToDevice));
    const Activation x = prepare(bench, view, tokens);
    for (const Choice& choice : choices(bench, view.traits().has_scales, false)) {
      if (choice.options.tier == Tier::kReference && each > 64) continue;
      report(bench,
             fmt::format("tiers {} experts {}x{} M={} {}", format, rows, in, tokens, choice.name),
             static_cast<double>(bytes * kExperts), static_cast<double>(rows * in * pairs),
             [&](int i) {
               cuda::matmul_experts({.weights = {view, kExperts, tables + i * kExperts},
                                     .x = x,
                                     .begin = begin,
                                     .x_rows = begin + kExperts + 1,
                                     .out = bench.output(),
                                     .pairs = pairs},
                                    choice.options, bench.stream());
             });
    }
    check(cudaFree(begin));
  }
  check(cudaFree(tables));
}

}  // namespace

void bench_tiers(Bench& bench, const char* format) {
  const std::vector<int64_t> tokens = {1, 2, 4, 8, 16, 64, 256, 512, 2048};
  bench_dense(bench, format, 8192, 2816, {64, 128, 192, 256, 384, 512, 2048});
  bench_dense(bench, format, 2816, 4096, {128, 256, 512, 2048});
  bench_dense(bench, "bf16", 8192, 2816, tokens);
  bench_dense(bench, "bf16", 2816, 2112, {1, 2, 4, 8, 64, 512});
  bench_dense(bench, "bf16", 262144, 2816, {1, 2, 4, 8, 16});
  bench_experts(bench, format, 1408, 2816, {16, 32, 64, 128});
  bench_experts(bench, format, 704, 2816, {32, 128});
  bench_experts(bench, format, 2816, 704, {8, 16, 32, 64, 128});
  bench_experts(bench, format, 2048, 768, {32, 128});
  bench_experts(bench, "bf16", 704, 2816, {1, 2, 4, 16, 32, 128});
  bench_experts(bench, "bf16", 2816, 704, {32});
}

}  // namespace tq::bench
