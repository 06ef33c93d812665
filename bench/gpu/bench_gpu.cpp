// Times the CUDA kernels on the shapes of published models, from a cold cache: every launch of a
// timed graph reads other weights. Prints time, weight bytes over time, and that as a share of the
// GPU's own copy bandwidth, measured first.
//   bench_gpu [filter [format]]   only lines whose name contains the filter; instead of tq3, what
//                                 most lines are about, another format
#include "bench.h"
#include "kernels/cuda/encode/encode.h"

namespace tq::bench {
namespace {

void bench_dense(Bench& bench, const char* format, const char* what, int64_t rows, int64_t in,
                 const std::vector<int64_t>& token_counts) {
  const WeightView view = make_view(format, rows, in);
  const int64_t bytes = cuda::relayout_bytes(view);
  for (const int64_t tokens : token_counts) {
    const Activation x = prepare(bench, view, tokens);
    const std::string name = fmt::format("{} {} {}x{} M={}", format, what, rows, in, tokens);
    const auto run = [&](int i) {
      WeightView weight = view;
      weight.codes = bench.weights(bytes, i);
      cuda::matmul({.weight = weight, .x = x, .out = bench.output()}, cuda::Tier::kAuto,
                   bench.stream());
    };
    const double macs = static_cast<double>(rows * in * tokens);
    bench.report(name, static_cast<double>(bytes), tokens >= 64 ? macs : 0, run);
  }
}

// Experts chosen at random, every token top_k distinct ones.
struct Load {
  std::vector<int32_t> begin;
  std::vector<int32_t> tokens;
  int64_t busy = 0;
};
Load random_load(int64_t n_experts, int64_t top_k, int64_t tokens) {
  std::mt19937 random(3);
  std::vector<std::vector<int32_t>> of(static_cast<size_t>(n_experts));
  for (int32_t t = 0; t < tokens; ++t) {
    std::vector<int32_t> all(static_cast<size_t>(n_experts));
    for (int32_t e = 0; e < n_experts; ++e) all[static_cast<size_t>(e)] = e;
    std::shuffle(all.begin(), all.end(), random);
    for (int64_t k = 0; k < top_k; ++k)
      of[static_cast<size_t>(all[static_cast<size_t>(k)])].push_back(t);
  }
  Load load;
  load.begin.push_back(0);
  for (const auto& list : of) {
    load.tokens.insert(load.tokens.end(), list.begin(), list.end());
    load.begin.push_back(static_cast<int32_t>(load.tokens.size()));
    load.busy += !list.empty();
  }
  return load;
}

struct MoeShape {
  const char* name;
  int64_t n_experts, top_k, hidden, width;
};

void bench_experts(Bench& bench, const char* format, const MoeShape& shape, int64_t tokens) {
  const WeightView gate = make_view(format, shape.width, shape.hidden);
  const WeightView down = make_view(format, shape.hidden, shape.width);
  const int64_t gate_bytes = cuda::relayout_bytes(gate);
  const int64_t down_bytes = cuda::relayout_bytes(down);
  const Load load = random_load(shape.n_experts, shape.top_k, tokens);
  const int64_t pairs = tokens * shape.top_k;
  // Tables of pointers for every launch of the graph, so that each reads other weights.
  std::vector<const uint8_t*> pointers;
  const auto add_table = [&](int64_t bytes, int64_t first) {
    for (int64_t e = 0; e < shape.n_experts; ++e)
      pointers.push_back(bench.weights(bytes, first + e));
  };
  for (int i = 0; i < kLaunches; ++i) {
    add_table(gate_bytes, (2 * i) * shape.n_experts);
    add_table(gate_bytes, (2 * i + 1) * shape.n_experts);
    add_table(down_bytes, i * shape.n_experts);
  }
  const uint8_t** tables;
  int32_t *begin, *rows;
  check(cudaMalloc(reinterpret_cast<void**>(&tables), pointers.size() * sizeof(pointers[0])));
  check(cudaMemcpy(tables, pointers.data(), pointers.size() * sizeof(pointers[0]),
                   cudaMemcpyHostToDevice));
  check(cudaMalloc(reinterpret_cast<void**>(&begin), load.begin.size() * sizeof(int32_t)));
  check(cudaMemcpy(begin, load.begin.data(), load.begin.size() * sizeof(int32_t),
                   cudaMemcpyHostToDevice));
  check(cudaMalloc(reinterpret_cast<void**>(&rows), load.tokens.size() * sizeof(int32_t)));
  check(cudaMemcpy(rows, load.tokens.data(), load.tokens.size() * sizeof(int32_t),
                   cudaMemcpyHostToDevice));
  cuda::ProductOptions options;
  options.scratch = bench.prepared() + Bench::kRegionBytes / 2;
  const auto table = [&](int i, int which) { return tables + (i * 3 + which) * shape.n_experts; };
  const double macs = static_cast<double>(pairs * shape.width * shape.hidden);
  {
    const Activation x = prepare(bench, gate, tokens);
    bench.report(fmt::format("{} {} gate+up, {} of {} experts M={}", format, shape.name, load.busy,
                             shape.n_experts, tokens),
                 static_cast<double>(2 * gate_bytes * load.busy), tokens >= 64 ? 2 * macs : 0,
                 [&](int i) {
                   cuda::matmul_gated_experts({{gate, shape.n_experts, table(i, 0)},
                                               {gate, shape.n_experts, table(i, 1)},
                                               x,
                                               begin,
                                               rows,
                                               pairs,
                                               Activate::kSilu,
                                               bench.output(),
                                               nullptr},
                                              options, bench.stream());
                 });
  }
  {
    const Activation x = prepare(bench, down, pairs);
    bench.report(fmt::format("{} {} down, {} of {} experts M={}", format, shape.name, load.busy,
                             shape.n_experts, tokens),
                 static_cast<double>(down_bytes * load.busy), tokens >= 64 ? macs : 0, [&](int i) {
                   cuda::matmul_experts({.weights = {down, shape.n_experts, table(i, 2)},
                                         .x = x,
                                         .begin = begin,
                                         .x_rows = nullptr,
                                         .out = bench.output(),
                                         .pairs = pairs},
                                        options, bench.stream());
                 });
  }
  check(cudaFree(tables));
  check(cudaFree(begin));
  check(cudaFree(rows));
}

// The operators between the products, on a Gemma 4 layer's shapes: what they cost is launches and
// latency, not bytes.
void bench_small(Bench& bench, int64_t tokens) {
  const int64_t hidden = 2816, width = 704, n_experts = 128, top_k = 8, pairs = tokens * top_k;
  const auto name = [&](const char* what) { return fmt::format("{} M={}", what, tokens); };
  float* x = bench.input();
  float* y = bench.output();
  float* weight = x + tokens * hidden;
  const RmsNormArgs norm{x, weight, 1e-6f, tokens, hidden, y};
  const PrepareArgs prepare_hidden{
      x, tokens, hidden, hidden, 128, InputForm::kRotated, bench.prepared()};
  bench.report(name("rms_norm 2816"), 8.0 * static_cast<double>(tokens * hidden), 0,
               [&](int) { cuda::rms_norm(norm, bench.stream()); });
  bench.report(name("prepare 2816"), 5.0 * static_cast<double>(tokens * hidden), 0,
               [&](int) { cuda::prepare(prepare_hidden, false, bench.stream()); });
  bench.report(name("norm + prepare 2816"), 5.0 * static_cast<double>(tokens * hidden), 0,
               [&](int) { cuda::prepare_normed(norm, prepare_hidden, bench.stream()); });
  bench.report(name("prepare pairs 704"), 5.0 * static_cast<double>(pairs * width), 0, [&](int) {
    cuda::prepare({x, pairs, width, width, 64, InputForm::kRotated, bench.prepared()}, false,
                  bench.stream());
  });
  bench.report(name("rms_norm 24 heads of 256"), 8.0 * static_cast<double>(tokens * 24 * 256), 0,
               [&](int) {
                 cuda::rms_norm({x, weight, 1e-6f, tokens * 24, 256, y}, bench.stream());
               });
  bench.report(name("rope 16 heads of 256"), 8.0 * static_cast<double>(tokens * 16 * 256), 0,
               [&](int) {
                 cuda::rope({y, tokens, 16, 256, 16 * 256, 128, false, x, x}, bench.stream());
               });
  bench.report(name("add 2816"), 12.0 * static_cast<double>(tokens * hidden), 0, [&](int) {
    cuda::add({x, weight, 1, tokens * hidden, y}, bench.stream());
  });
  int32_t* integers = reinterpret_cast<int32_t*>(bench.prepared());
  const Routing routing{integers, y, integers + pairs, integers + 2 * pairs, integers + 3 * pairs};
  bench.report(name("route 128 experts"), 4.0 * static_cast<double>(tokens * n_experts), 0,
               [&](int) {
                 cuda::route({.logits = x,
                              .tokens = tokens,
                              .n_experts = n_experts,
                              .top_k = top_k,
                              .score = RouteScore::kSoftmax,
                              .out = routing},
                             bench.stream());
               });
  bench.report(
      name("combine 8 of 2816"), 4.0 * static_cast<double>((pairs + tokens) * hidden), 0, [&](int) {
        cuda::combine({x, routing, tokens, top_k, hidden, false, y + pairs}, bench.stream());
      });
}

// Compression of bf16 rows, GB/s of these; then the layout that products read, GB/s of native
// bytes.
void bench_encode(Bench& bench, const char* format) {
  const int64_t rows = 8192, in = 2816;
  WeightView view = make_view(format, rows, in);
  auto* planes = reinterpret_cast<uint8_t*>(bench.output());
  view.codes = planes;
  view.gains = reinterpret_cast<uint16_t*>(planes + rows * view.code_row_bytes());
  auto* first_bad = reinterpret_cast<uint32_t*>(bench.prepared());
  const int64_t bytes = rows * in * 2;  // of small numbers: the arena's bits as bf16
  for (const auto& [effort, name] : {std::pair{Effort::kFast, "fast"},
                                     {Effort::kDefault, "default"},
                                     {Effort::kBest, "best"},
                                     {Effort::kReference, "reference"}}) {
    bench.report(fmt::format("encode {} {}x{} {}", format, rows, in, name),
                 static_cast<double>(bytes), 0, [&, effort = effort](int i) {
                   cuda::encode(
                       {DType::kBF16, bench.weights(bytes, i), view, {effort, 0.5f}, first_bad, 0},
                       bench.stream());
                 });
  }
  bench.report(fmt::format("encode {}: relayout", format), static_cast<double>(view.size_bytes()),
               0, [&](int) { cuda::relayout(view, bench.prepared(), bench.stream()); });
}

void run(const std::string& filter, const char* format) {
  Bench bench(filter);
  bench.measure_copy();
  const std::vector<int64_t> decode = {1, 4, 8, 16, 32, 64};
  bench_dense(bench, format, "head", 262144, 2816, {1, 8, 16, 32, 64});
  bench_dense(bench, format, "qkv", 8192, 2816, decode);
  bench_dense(bench, format, "o", 2816, 4096, decode);
  bench_dense(bench, format, "dense down", 2816, 2112, decode);
  bench_dense(bench, format, "q 30b", 4096, 2048, decode);
  for (const char* other : {"tq2", "tq4", "tq5", "tq6", "tq8", "f16", "bf16"}) {
    bench_dense(bench, other, "qkv", 8192, 2816, {1, 16});
  }
  bench_dense(bench, "bf16", "head", 262144, 2816, {1, 4, 16});
  bench_dense(bench, "bf16", "router", 128, 2816, {1, 16, 32, 64, 128, 256, 512, 2048});
  const MoeShape gemma{"gemma4", 128, 8, 2816, 704}, qwen{"qwen3", 128, 8, 2048, 768},
      glm{"glm", 64, 4, 2048, 1536};
  for (const MoeShape& shape : {gemma, qwen, glm}) {
    for (const int64_t tokens : {1, 4, 16, 32}) bench_experts(bench, format, shape, tokens);
  }
  for (const char* encoded : {"tq2", "tq3", "tq4", "tq5", "tq6", "tq8", "w7_3", "w7_4"}) {
    bench_encode(bench, encoded);
  }
  for (const int64_t tokens : {1, 16, 32}) bench_small(bench, tokens);
  bench_sampling(bench);
  bench_steps(bench, format);
  bench_attention(bench);
  for (const int64_t tokens : {512, 2048}) {
    bench_dense(bench, format, "prefill qkv", 8192, 2816, {tokens});
    bench_dense(bench, format, "prefill o", 2816, 4096, {tokens});
    for (const MoeShape& shape : {gemma, qwen, glm}) bench_experts(bench, format, shape, tokens);
    bench_small(bench, tokens);
  }
  bench_tiers(bench, format);
}

}  // namespace
}  // namespace tq::bench

int main(int argc, char** argv) {
  try {
    tq::bench::run(argc > 1 ? argv[1] : "", argc > 2 ? argv[2] : "tq3");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
