// Where the time of a decode step goes: a checkpoint's model runs on the CPU backend through one
// that measures every operator, by kind and, for products, by the shape of the weights.
//   bench_decode MODEL [--threads=N] [--context=128] [--steps=32]
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "backend/forwarding_backend.h"
#include "bandwidth.h"
#include "base/thread_pool.h"
#include "engine/evaluate.h"
#include "io/checkpoint.h"
#include "model/model.h"

namespace tq {
namespace {

double now() {
  const auto time = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(time).count();
}

// What was spent on one kind of operator.
struct Cost {
  std::string_view name;
  const FormatTraits* format = nullptr;  // of products
  int64_t rows = 0;
  int64_t in = 0;
  int64_t calls = 0;
  int64_t bytes = 0;  // of weights read
  double seconds = 0;
};

class TimedBackend final : public ForwardingBackend {
 public:
  explicit TimedBackend(Backend& inner) : ForwardingBackend(inner) { costs_.reserve(64); }

  void reset() { costs_.clear(); }
  const std::vector<Cost>& costs() const { return costs_; }

  Activation prepare(const PrepareArgs& args) override {
    const double start = now();
    const Activation x = inner_.prepare(args);
    add({"prepare"}, start);
    return x;
  }
  void matmul(const MatmulArgs& args) override {
    const double start = now();
    inner_.matmul(args);
    add_product("matmul", args.weight, args.weight.size_bytes(), start);
  }
  void matmul_experts(const ExpertMatmulArgs& args) override {
    const double start = now();
    inner_.matmul_experts(args);
    int64_t busy = 0;
    for (int64_t e = 0; e < args.weights.n; ++e) busy += args.begin[e] < args.begin[e + 1] ? 1 : 0;
    const WeightView& matrix = args.weights.matrix;
    add_product("experts", matrix, busy * matrix.size_bytes(), start);
  }
  void matmul_heads(const HeadMatmulArgs& args) override {
    const double start = now();
    inner_.matmul_heads(args);
    const WeightView& matrix = args.weights.matrix;
    add_product("heads", matrix, args.weights.n * matrix.size_bytes(), start);
  }
  void attention(const AttentionArgs& args) override {
    timed("attention", [&] { inner_.attention(args); });
  }
#define TQ_TIMED(name, Args)                  \
  void name(const Args& args) override {      \
    timed(#name, [&] { inner_.name(args); }); \
  }
  TQ_SIMPLE_OPERATORS(TQ_TIMED)
#undef TQ_TIMED

 private:
  template <typename Operator>
  void timed(std::string_view name, const Operator& run) {
    const double start = now();
    run();
    add({name}, start);
  }
  void add_product(std::string_view name, const WeightView& weight, int64_t bytes, double start) {
    add({name, &weight.traits(), weight.rows, weight.in, 0, bytes}, start);
  }
  void add(const Cost& what, double start) {
    const double seconds = now() - start;
    const auto same = [&](const Cost& cost) {
      return cost.name == what.name && cost.format == what.format && cost.rows == what.rows &&
             cost.in == what.in;
    };
    auto found = std::find_if(costs_.begin(), costs_.end(), same);
    if (found == costs_.end()) {
      found = costs_.insert(costs_.end(), {what.name, what.format, what.rows, what.in});
    }
    ++found->calls;
    found->bytes += what.bytes;
    found->seconds += seconds;
  }

  std::vector<Cost> costs_;
};

struct Options {
  std::string model;
  int threads = 0;
  int64_t context = 128;
  int64_t steps = 32;
};

std::string label(const Cost& cost) {
  if (cost.format == nullptr) return std::string(cost.name);
  return fmt::format("{} {}x{} {}", cost.name, cost.rows, cost.in, cost.format->name);
}

void print_costs(std::vector<Cost> costs, int64_t steps, double step_seconds, double bandwidth) {
  const auto n = static_cast<double>(steps);
  std::sort(costs.begin(), costs.end(),
            [](const Cost& a, const Cost& b) { return a.seconds > b.seconds; });
  fmt::print("| operator | calls | ms | share | MB | GB/s | of read bandwidth |\n");
  fmt::print("|---|---|---|---|---|---|---|\n");
  Cost all{"all"};
  const auto print = [&](const Cost& cost) {
    const double seconds = cost.seconds / n;
    const double bytes = static_cast<double>(cost.bytes) / n;
    fmt::print("| {} | {} | {:.3f} | {:.1f} % |", label(cost), cost.calls / steps, 1e3 * seconds,
               100 * seconds / step_seconds);
    if (cost.bytes == 0) {
      fmt::print(" | | |\n");
    } else {
      fmt::print(" {:.1f} | {:.1f} | {:.0f} % |\n", bytes / 1e6, bytes / seconds / 1e9,
                 100 * bytes / seconds / bandwidth);
    }
  };
  for (const Cost& cost : costs) {
    print(cost);
    all.calls += cost.calls;
    all.bytes += cost.bytes;
    all.seconds += cost.seconds;
  }
  print(all);
  const double floor = static_cast<double>(all.bytes) / n / bandwidth;
  fmt::print(
      "\nstep {:.2f} ms; its {:.0f} MB of weights at the read bandwidth {:.2f} ms: {:.0f} %\n",
      1e3 * step_seconds, static_cast<double>(all.bytes) / n / 1e6, 1e3 * floor,
      100 * floor / step_seconds);
}

// Seconds of an operator that does nothing, on a pool that has just worked.
double fork_seconds(ThreadPool& pool) {
  constexpr int kForks = 10000;
  auto nothing = [](int64_t /*begin*/, int64_t /*end*/, int /*thread*/) {};
  const double start = now();
  for (int i = 0; i < kForks; ++i) pool.parallel_for(2 * pool.size(), 1, nothing);
  return (now() - start) / kForks;
}

void run(const Options& options) {
  double bandwidth = 0;
  {
    ThreadPool pool(options.threads);
    bandwidth = measure_read_bandwidth(pool, int64_t{256} << 20, now);
    fmt::print("{} threads: {:.1f} GB/s read, {:.2f} us to fork and join\n\n", pool.size(),
               bandwidth / 1e9, 1e6 * fork_seconds(pool));
  }
  const auto checkpoint = open_checkpoint(options.model);
  const auto cpu = make_cpu_backend({.threads = options.threads});
  TimedBackend backend(*cpu);
  const int64_t length = options.context + options.steps + 1;
  LoadOptions load{.max_batch_tokens = std::min<int64_t>(options.context, 512),
                   .max_logit_rows = 1,
                   .max_sequences = 1,
                   .max_context = length};
  const auto model = Model::load(*checkpoint, backend, load);
  LogitReader reader(*model, default_kv_format(), length);
  std::mt19937 random(1);
  const auto next = [&](int64_t n) {
    std::vector<int32_t> ids(static_cast<size_t>(n));
    for (int32_t& id : ids) id = static_cast<int32_t>(random() % model->spec().vocab);
    reader.next(ids, 1);
  };
  for (int64_t i = 0; i < options.context; ++i) next(1);
  backend.reset();
  const double start = now();
  for (int64_t i = 0; i < options.steps; ++i) next(1);
  const double seconds = (now() - start) / static_cast<double>(options.steps);
  fmt::print("{}, {}\ncontext {}, mean of {} steps\n\n", options.model, cpu->description(),
             options.context, options.steps);
  print_costs(backend.costs(), options.steps, seconds, bandwidth);
}

}  // namespace
}  // namespace tq

int main(int argc, char** argv) {
  tq::Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const auto value = [&](std::string_view name) -> const char* {
      return argument.substr(0, name.size()) == name ? argv[i] + name.size() : nullptr;
    };
    if (const char* threads = value("--threads=")) {
      options.threads = std::atoi(threads);
    } else if (const char* context = value("--context=")) {
      options.context = std::max(1, std::atoi(context));
    } else if (const char* steps = value("--steps=")) {
      options.steps = std::max(1, std::atoi(steps));
    } else {
      options.model = argument;
    }
  }
  if (options.model.empty()) {
    fmt::print(stderr, "bench_decode MODEL [--threads=N] [--context=128] [--steps=32]\n");
    return 2;
  }
  try {
    tq::run(options);
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 1;
  }
}
