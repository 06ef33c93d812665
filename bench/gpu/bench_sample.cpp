// Sampling: what each parameter costs, by rows.
#include <cmath>
#include <numbers>

#include "bench.h"
#include "kernels/cuda/sample/sample.h"

namespace tq::bench {
namespace {

struct Case {
  const char* name;
  float temperature;
  int top_k;
  float top_p;
  int n_seen;
};

void bench_case(Bench& bench, const Case& c, float sigma, int64_t n, int64_t n_rows) {
  const std::string name =
      fmt::format("sample {} {}, logits of deviation {}, M={}", n, c.name, sigma, n_rows);
  if (!bench.wants(name)) return;
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, sigma);
  std::vector<float> logits(static_cast<size_t>(n));
  for (float& x : logits) x = normal(random);
  float* device_logits = bench.output();
  for (int64_t r = 0; r < n_rows; ++r) {
    check(cudaMemcpy(device_logits + r * n, logits.data(), logits.size() * sizeof(float),
                     cudaMemcpyHostToDevice));
  }
  std::vector<TokenValue> lists;
  for (int i = 0; i < c.n_seen; ++i) lists.push_back({i * 17 % static_cast<int>(n), 1});
  std::vector<SampleRow> rows(static_cast<size_t>(n_rows));
  for (SampleRow& row : rows) {
    if (c.temperature > 0) row.scale = static_cast<float>(std::numbers::log2e / c.temperature);
    row.top_k = c.top_k;
    row.top_p = c.top_p;
    row.random = uint64_t{random()} << 32 | random();
    row.n_seen = c.n_seen;
    row.repetition_penalty = 1.1f;
  }
  uint8_t* at = bench.prepared();
  const auto place = [&](const void* from, size_t bytes) {
    uint8_t* to = at;
    check(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice));
    at += round_up(static_cast<int64_t>(bytes), 256);
    return to;
  };
  const auto* device_rows =
      reinterpret_cast<const SampleRow*>(place(rows.data(), rows.size() * sizeof(SampleRow)));
  const auto* device_lists =
      reinterpret_cast<const TokenValue*>(place(lists.data(), lists.size() * sizeof(TokenValue)));
  auto* out = reinterpret_cast<int32_t*>(at);
  bench.report(name, 4.0 * static_cast<double>(n_rows * n), 0, [&](int) {
    cuda::sample({device_logits, n_rows, n, n, device_rows, device_lists, out}, bench.stream());
  });
}

}  // namespace

void bench_sampling(Bench& bench) {
  for (const Case& c :
       {Case{"greedy", 0, 0, 1, 0}, Case{"temperature", 1, 0, 1, 0}, Case{"top_k 64", 1, 64, 1, 0},
        Case{"top_p 0.95", 1, 0, 0.95f, 0}, Case{"top_k 64, top_p 0.95", 1, 64, 0.95f, 0},
        Case{"all, 4000 seen", 0.8f, 1000, 0.95f, 4000}}) {
    for (const int64_t n_rows : {1, 8, 32, 64}) bench_case(bench, c, 3, 262144, n_rows);
    bench_case(bench, c, 1, 262144, 1);
    bench_case(bench, c, 3, 32768, 1);
  }
}

}  // namespace tq::bench
