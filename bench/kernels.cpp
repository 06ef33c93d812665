// Every CPU kernel on every instruction set of this machine. Memory-bound kernels are reported in
// GB/s and as a share of the read bandwidth that the program measures itself, first; others in
// GFLOP/s. All run on the thread pool with --threads threads (default 2), cut into parts as the CPU
// backend cuts them. Counters are of the fastest iteration: on a shared machine the mean says more
// about the neighbours; --cpu-time counts the program's own CPU time instead of the wall clock's.
// Data are random, never zeros.
#include "kernels/cpu/kernels.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "bandwidth.h"
#include "base/float16.h"
#include "base/math.h"
#include "base/thread_pool.h"
#include "tensor/buffer.h"

namespace tq {
namespace {

// What all benchmarks share; filled by main.
struct Setup {
  std::unique_ptr<ThreadPool> pool;
  bool cpu_time = false;      // --cpu-time
  double read_bandwidth = 0;  // bytes a second
  // The weights of a matrix-vector product, and what the bandwidth they are compared with is
  // measured on: where the last cache holds a part of so much, it does so for both. --megabytes
  // below a cache's size tell what the instructions take.
  int64_t weight_bytes = int64_t{256} << 20;
  Buffer noise;  // random bytes, at least as many
};
Setup& setup() {
  static Setup instance;
  return instance;
}

// Seconds on the chosen clock. That of --cpu-time is the process' time divided by its threads: it
// stands still while other programs have the CPUs, as long as all threads are kept busy.
double now() {
  if (!setup().cpu_time) {
    const auto time = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double>(time).count();
  }
  timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return (static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec)) /
         setup().pool->size();
}

void parallel(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& run) {
  auto part = [&](int64_t begin, int64_t end, int /*thread*/) { run(begin, end); };
  setup().pool->parallel_for(n, grain, part);
}

template <typename T>
std::vector<T> random_values(int64_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<T> values(static_cast<size_t>(n));
  if constexpr (std::is_same_v<T, float>) {
    std::normal_distribution<float> normal;
    for (T& value : values) value = normal(random);
  } else {
    for (T& value : values) value = static_cast<T>(random());
  }
  return values;
}

// Seconds of the fastest iteration.
double time_best(benchmark::State& state, const std::function<void()>& run) {
  double best = std::numeric_limits<double>::infinity();
  run();  // faults pages in
  for (auto _ : state) {
    const double start = now();
    run();
    best = std::min(best, now() - start);
  }
  return best;
}

void report_bytes(benchmark::State& state, int64_t bytes, double seconds) {
  const double rate = static_cast<double>(bytes) / seconds;
  state.counters["GB/s"] = rate / 1e9;
  state.counters["%read"] = 100 * rate / setup().read_bandwidth;
}
void report_flops(benchmark::State& state, double flops, double seconds) {
  state.counters["GFLOP/s"] = flops / seconds / 1e9;
}

// A weight of random codes (every code is valid; plain formats get small normal numbers) with
// gains of about 1 / sqrt(in).
struct Weight {
  Buffer codes;
  std::vector<uint16_t> gains;
  WeightView view;
};

Weight make_weight(const FormatTraits& format, int64_t rows, int64_t in) {
  Weight weight;
  WeightView& view = weight.view;
  view = weight_shape(format, rows, in);
  const auto size = static_cast<size_t>(rows * view.code_row_bytes());
  weight.codes = Buffer(size);
  if (format.has_scales) {
    std::memcpy(weight.codes.as<uint8_t>().data(), setup().noise.as<uint8_t>().data(), size);
    weight.gains.assign(static_cast<size_t>(rows * view.gains_per_row()), f32_to_f16(0.02f));
    view.gains = weight.gains.data();
  } else {
    const std::vector<float> row = random_values<float>(in, 1);
    for (int64_t r = 0; r < rows; ++r) {
      format.encode_rows(row.data(), in, 0, {},
                         weight.codes.as<uint8_t>().data() + r * view.code_row_bytes(), nullptr);
    }
  }
  view.codes = weight.codes.as<uint8_t>().data();
  return weight;
}

struct Inputs {
  std::vector<float> f32;
  std::vector<int8_t> q8;
  std::vector<float> q8_scale;
  Activation x;
};

Inputs make_inputs(const WeightView& weight, int64_t tokens, bool integer) {
  Inputs inputs;
  inputs.x = {weight.traits().input, tokens, weight.in, weight.in_padded, weight.group};
  if (integer) {
    inputs.q8 = random_values<int8_t>(tokens * weight.in_padded, 2);
    for (int8_t& q : inputs.q8) q = std::max<int8_t>(q, -127);
    inputs.q8_scale.assign(static_cast<size_t>(tokens * weight.gains_per_row()), 0.01f);
    inputs.x.q8 = inputs.q8.data();
    inputs.x.q8_scale = inputs.q8_scale.data();
  } else {
    inputs.f32 = random_values<float>(tokens * weight.in_padded, 2);
    inputs.x.f32 = inputs.f32.data();
  }
  return inputs;
}

// Few tokens: weights beyond every cache, in GB/s. Many: a matrix of a layer, in GFLOP/s.
void bench_matmul(benchmark::State& state, const CpuKernels& kernels, const FormatTraits& format,
                  int64_t in, int64_t tokens, bool integer) {
  const bool prefill = tokens > 16;
  const int64_t row_bytes = format.code_row_bytes(in);
  const int64_t rows = prefill ? 2048 : setup().weight_bytes / row_bytes / 32 * 32;
  const Weight weight = make_weight(format, rows, in);
  const Inputs inputs = make_inputs(weight.view, tokens, integer);
  std::vector<float> out(static_cast<size_t>(tokens * rows));
  const MatmulArgs args{weight.view, inputs.x, nullptr, false, out.data()};
  const auto kernel =
      (integer ? kernels.matmul_i8 : kernels.matmul_f32)[static_cast<size_t>(format.id)];
  const int64_t grain = prefill ? 64 : std::max<int64_t>(32, 65536 / row_bytes / 32 * 32);
  const double seconds = time_best(state, [&] {
    parallel(rows, grain, [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
  });
  if (prefill) {
    report_flops(state, 2.0 * static_cast<double>(tokens) * static_cast<double>(rows * in),
                 seconds);
  } else {
    report_bytes(state, weight.view.size_bytes(), seconds);
  }
}

struct AttentionShape {
  std::string_view name;
  int64_t n_heads;
  int64_t n_kv_heads;
  int64_t k_dim;
  int64_t v_dim;
  bool v_in_k;
};
constexpr AttentionShape kAttentionShapes[] = {
    {"64x9/3", 9, 3, 64, 64, false},
    {"128x32/4", 32, 4, 128, 128, false},
    {"256x4/1", 4, 1, 256, 256, false},
    {"latent576x16", 16, 1, 576, 512, true},
};

// One sequence, f16 pages: `tokens` queries at the end of kv_len keys.
void bench_attention(benchmark::State& state, const CpuKernels& kernels,
                     const AttentionShape& shape, int64_t tokens, int64_t kv_len) {
  const int64_t n_blocks = ceil_div(kv_len, int64_t{kKvBlockTokens});
  const auto pages = [&](int64_t dim) {
    std::vector<uint16_t> plane(
        static_cast<size_t>(n_blocks * kKvBlockTokens * shape.n_kv_heads * dim));
    std::mt19937 random(3);
    std::normal_distribution<float> normal;
    std::vector<uint16_t> values(4096);
    for (uint16_t& value : values) value = f32_to_f16(normal(random));
    for (size_t i = 0; i < plane.size(); ++i) plane[i] = values[(i * 7 + i / 4096) % 4096];
    return plane;
  };
  std::vector<uint16_t> k = pages(shape.k_dim);
  std::vector<uint16_t> v = shape.v_in_k ? std::vector<uint16_t>{} : pages(shape.v_dim);
  std::vector<int32_t> table(static_cast<size_t>(n_blocks));
  for (size_t i = 0; i < table.size(); ++i) table[i] = static_cast<int32_t>(i);
  const int32_t q_begin[] = {0, static_cast<int32_t>(tokens)};
  const auto length = static_cast<int32_t>(kv_len);
  const std::vector<float> q = random_values<float>(tokens * shape.n_heads * shape.k_dim, 4);
  std::vector<float> out(static_cast<size_t>(tokens * shape.n_heads * shape.v_dim));
  const KvLayerView view{default_kv_format(),
                         n_blocks,
                         shape.n_kv_heads,
                         shape.k_dim,
                         shape.v_dim,
                         k.data(),
                         shape.v_in_k ? nullptr : v.data()};
  const AttentionArgs args{
      view,      {1, q_begin, &length, table.data(), n_blocks}, q.data(), shape.n_heads, 0.1f, 0, 0,
      out.data()};
  const auto kernel = kernels.attention[static_cast<size_t>(default_kv_format())];
  const int64_t rows = tokens * (shape.n_heads / shape.n_kv_heads);
  const int64_t tile =
      std::clamp<int64_t>(rows * shape.n_kv_heads / setup().pool->size(), 1, kAttentionRows);
  const int64_t tiles = ceil_div(rows, tile);
  std::vector<AttentionScratch> scratch(static_cast<size_t>(setup().pool->size()));
  auto part = [&](int64_t begin, int64_t end, int thread) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = i % tiles * tile;
      kernel(args, {0, i / tiles, row, std::min(row + tile, rows)},
             scratch[static_cast<size_t>(thread)]);
    }
  };
  const double seconds =
      time_best(state, [&] { setup().pool->parallel_for(tiles * shape.n_kv_heads, 1, part); });
  const int64_t pairs = shape.n_heads * (tokens * (kv_len - tokens) + tokens * (tokens + 1) / 2);
  report_flops(state, 2.0 * static_cast<double>(pairs * (shape.k_dim + shape.v_dim)), seconds);
  if (tokens == 1) {
    report_bytes(state, static_cast<int64_t>(2 * (k.size() + v.size())), seconds);
  }
}

// Operators on activations: 512 tokens of 2048, in GB/s of what they read and write.
constexpr int64_t kTokens = 512;
constexpr int64_t kDim = 2048;

void bench_elementwise(benchmark::State& state, int64_t bytes_per_element,
                       const std::function<void(int64_t, int64_t)>& run) {
  const double seconds = time_best(state, [&] { parallel(kTokens, 8, run); });
  report_bytes(state, kTokens * kDim * bytes_per_element, seconds);
}

void register_elementwise(const CpuKernels& kernels) {
  struct Arrays {
    std::vector<float> a = random_values<float>(kTokens * kDim, 5);
    std::vector<float> b = random_values<float>(kTokens * kDim, 6);
    std::vector<float> c = std::vector<float>(kTokens * kDim);
    std::vector<int8_t> q8 = std::vector<int8_t>(kTokens * kDim);
    std::vector<float> rope = a;
    std::vector<float> cos = std::vector<float>(kTokens * 64, 0.6f);
    std::vector<float> sin = std::vector<float>(kTokens * 64, 0.8f);
    std::vector<int64_t> slots = std::vector<int64_t>(kTokens);
  };
  static Arrays arrays;
  for (size_t t = 0; t < arrays.slots.size(); ++t) arrays.slots[t] = static_cast<int64_t>(t);
  const auto add = [&](std::string_view name, int64_t bytes, auto run) {
    benchmark::RegisterBenchmark(
        fmt::format("{}/{}", name, kernels.name).c_str(),
        [bytes, run](benchmark::State& state) { bench_elementwise(state, bytes, run); })
        ->UseRealTime();
  };
  float* a = arrays.a.data();
  float* b = arrays.b.data();
  float* c = arrays.c.data();
  const CpuKernels* k = &kernels;
  add("rotate_quantize/128", 5, [=](int64_t begin, int64_t end) {
    k->rotate_quantize({a, kDim, kDim, 128, nullptr, arrays.q8.data(), c}, begin, end);
  });
  add("rotate/128", 8, [=](int64_t begin, int64_t end) {
    k->rotate({a, kDim, kDim, 128, c, nullptr, nullptr}, begin, end);
  });
  add("rms_norm", 8, [=](int64_t begin, int64_t end) {
    k->rms_norm({a, b, 1e-6f, kTokens, kDim, c}, begin, end);
  });
  add("rope/128", 8, [=](int64_t begin, int64_t end) {
    k->rope({arrays.rope.data(), kTokens, kDim / 128, 128, kDim, 64, false, arrays.cos.data(),
             arrays.sin.data()},
            begin, end);
  });
  add("add", 12, [=](int64_t begin, int64_t end) {
    k->add({a, b, 0.5f, kTokens * kDim, c}, begin * kDim, end * kDim);
  });
  add("softcap", 8, [=](int64_t begin, int64_t end) {
    k->softcap({a, kTokens * kDim, 30}, begin * kDim, end * kDim);
  });
  constexpr std::string_view kNames[] = {"glu/silu", "glu/gelu_tanh", "glu/gelu"};
  for (size_t i = 0; i < kActivateSlots; ++i) {
    add(kNames[i], 12, [=](int64_t begin, int64_t end) {
      k->glu[i]({static_cast<Activate>(i), a, b, kTokens * kDim, c}, begin * kDim, end * kDim);
    });
  }
  add("kv_store/f16", 6, [=](int64_t begin, int64_t end) {
    const KvLayerView view{default_kv_format(),
                           kTokens / kKvBlockTokens,
                           kDim / 256,
                           128,
                           128,
                           c,
                           reinterpret_cast<uint16_t*>(c) + kTokens * kDim / 2};
    k->kv_store[static_cast<size_t>(default_kv_format())](
        {view, arrays.slots.data(), kTokens, a, b}, begin, end);
  });
}

void register_matmuls(const CpuKernels& kernels) {
  for (const FormatTraits& format : all_formats()) {
    const auto add = [&](int64_t in, int64_t tokens, bool integer) {
      benchmark::RegisterBenchmark(
          fmt::format("matmul_{}/{}/{}/in{}/tokens{}", integer ? "i8" : "f32", format.name,
                      kernels.name, in, tokens)
              .c_str(),
          [&kernels, &format, in, tokens, integer](benchmark::State& state) {
            bench_matmul(state, kernels, format, in, tokens, integer);
          })
          ->UseRealTime()
          ->Unit(benchmark::kMillisecond);
    };
    const bool integer = format.input == InputForm::kRotated;
    for (const int64_t tokens : {1, 2, 4, 8, 16, 512}) add(2048, tokens, integer);
    if (integer) {
      add(576, 1, true);  // groups of 64
      add(576, 512, true);
      add(2048, 1, false);
      add(2048, 512, false);
    }
  }
}

void register_attention(const CpuKernels& kernels) {
  for (const AttentionShape& shape : kAttentionShapes) {
    for (const auto& [tokens, kv_len] : {std::pair<int64_t, int64_t>{1, 4096}, {512, 512}}) {
      benchmark::RegisterBenchmark(
          fmt::format("attention/{}/{}/tokens{}/kv{}", shape.name, kernels.name, tokens, kv_len)
              .c_str(),
          [&kernels, &shape, tokens = tokens, kv_len = kv_len](benchmark::State& state) {
            bench_attention(state, kernels, shape, tokens, kv_len);
          })
          ->UseRealTime();
    }
  }
}

int run(int argc, char** argv) {
  int threads = 2;
  for (int i = 1; i < argc;) {
    const std::string_view option = argv[i];
    constexpr std::string_view kThreads = "--threads=";
    constexpr std::string_view kMegabytes = "--megabytes=";
    if (option == "--cpu-time") {
      setup().cpu_time = true;
    } else if (option.substr(0, kMegabytes.size()) == kMegabytes) {
      setup().weight_bytes = std::max<int64_t>(1, std::atoi(argv[i] + kMegabytes.size())) << 20;
    } else if (option.substr(0, kThreads.size()) == kThreads) {
      threads = std::max(1, std::atoi(argv[i] + kThreads.size()));
    } else {
      ++i;
      continue;
    }
    std::rotate(argv + i, argv + i + 1, argv + argc);
    --argc;
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  setup().pool = std::make_unique<ThreadPool>(threads);
  const int64_t noise_bytes = std::max(setup().weight_bytes, int64_t{32} << 20);  // for prefills
  setup().noise = Buffer(static_cast<size_t>(noise_bytes));
  std::mt19937_64 random(7);
  auto* words = setup().noise.as<uint64_t>().data();
  for (int64_t i = 0; i < noise_bytes / 8; ++i) words[i] = random();
  setup().read_bandwidth = measure_read_bandwidth(*setup().pool, setup().weight_bytes, now);
  fmt::print(stderr, "read bandwidth of {} threads: {:.1f} GB/s\n", threads,
             setup().read_bandwidth / 1e9);
  for (const CpuKernels& kernels : available_kernels()) {
    register_matmuls(kernels);
    register_attention(kernels);
    register_elementwise(kernels);
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace tq

int main(int argc, char** argv) { return tq::run(argc, argv); }
