// The CPU backend: cuts every operator into parts for the thread pool and runs the kernels of the
// chosen instruction set on them. All memory it needs while operators run is allocated here, in
// the constructor.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <string>

#include "backend/backend.h"
#include "base/check.h"
#include "base/math.h"
#include "base/thread_pool.h"
#include "kernels/cpu/kernels.h"

namespace tq {
namespace {

// Rows of a matmul part are a multiple of this, so that kernels see whole blocks.
constexpr int64_t kRowMultiple = 32;

// More parts of a matmul would only add to the costs of a part; fewer would leave threads waiting
// for the last one when another program has its CPU.
constexpr int64_t kMatmulPartsPerThread = 16;

template <typename Enum>
size_t slot(Enum value) {
  return static_cast<size_t>(value);
}

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(const CpuOptions& options)
      : exact_(options.exact),
        kernels_(select_kernels()),
        pool_(options.threads),
        attention_scratch_(static_cast<size_t>(pool_.size()) * sizeof(AttentionScratch)) {}

  std::string_view name() const override { return "cpu"; }
  bool exact() const override { return exact_; }
  int host_threads() const override { return pool_.size(); }
  std::string description() const override {
    return fmt::format("cpu, {} thread{}, {}, {} activations", pool_.size(),
                       pool_.size() == 1 ? "" : "s", kernels_.name, exact_ ? "fp32" : "int8");
  }
  Buffer allocate(size_t size_bytes) override { return Buffer(size_bytes); }
  Buffer allocate_host(size_t size_bytes) override { return Buffer(size_bytes); }
  bool on_host() const override { return true; }
  void upload(const void* from, void* to, size_t size_bytes) override {
    if (size_bytes > 0) std::memcpy(to, from, size_bytes);
  }
  void download(const void* from, void* to, size_t size_bytes) override {
    if (size_bytes > 0) std::memcpy(to, from, size_bytes);
  }
  WeightView import_weight(const WeightView& weight, Buffer& /*storage*/) override {
    return weight;
  }

  size_t activation_bytes(int64_t tokens, int64_t in_padded, int group,
                          InputForm form) const override {
    if (form == InputForm::kPlain) return 0;
    const int64_t n = tokens * in_padded;
    if (exact_) return static_cast<size_t>(n) * sizeof(float);
    return static_cast<size_t>(n / group) * sizeof(float) + static_cast<size_t>(n);
  }

  Activation prepare(const PrepareArgs& args) override;
#define TQ_DECLARE(name, Args) void name(const Args& args) override;
  TQ_ELEMENTARY_OPERATORS(TQ_DECLARE)
#undef TQ_DECLARE

 private:
  // Runs the kernel over [0, n), in parts of `grain` elements.
  template <typename Args>
  void run(CpuKernel<Args> kernel, const Args& args, int64_t n, int64_t grain) {
    auto part = [&](int64_t begin, int64_t end, int /*thread*/) { kernel(args, begin, end); };
    pool_.parallel_for(n, grain, part);
  }

  // Elements a part needs to be worth it, when one costs `cost`. An operator that fits in one part
  // runs on the caller.
  int64_t grain_for(int64_t cost) const {
    return ceil_div(kernels_.part_cost, std::max<int64_t>(cost, 1));
  }
  int64_t matmul_grain(const WeightView& weight, int64_t tokens) const;
  CpuKernel<MatmulArgs> matmul_kernel(const WeightView& weight, const Activation& x) const;

  const bool exact_;
  const CpuKernels& kernels_;
  ThreadPool pool_;
  Buffer attention_scratch_;  // one AttentionScratch a thread
};

Activation CpuBackend::prepare(const PrepareArgs& args) {
  Activation x{args.form, args.tokens, args.in, args.in_padded, args.group};
  if (args.form == InputForm::kPlain) {
    x.group = 0;
    x.f32 = args.x;  // rows of args.in, whatever weights are padded to
    return x;
  }
  RotateArgs rotate{args.x, args.in, args.in_padded, args.group};
  if (exact_) {
    rotate.f32 = static_cast<float*>(args.storage);
    x.f32 = rotate.f32;
  } else {
    // Scales first: they need the alignment.
    rotate.q8_scale = static_cast<float*>(args.storage);
    rotate.q8 =
        reinterpret_cast<int8_t*>(rotate.q8_scale + args.tokens * args.in_padded / args.group);
    x.q8 = rotate.q8;
    x.q8_scale = rotate.q8_scale;
  }
  run(exact_ ? kernels_.rotate : kernels_.rotate_quantize, rotate, args.tokens,
      grain_for(4 * args.in_padded));
  return x;
}

void CpuBackend::embed(const EmbedArgs& args) {
  run(kernels_.embed[slot(args.table.format)], args, args.tokens, grain_for(4 * args.table.in));
}

// The kernel for products of the weight with x, which must be in the form the weight needs.
CpuKernel<MatmulArgs> CpuBackend::matmul_kernel(const WeightView& weight,
                                                const Activation& x) const {
  TQ_CHECK(weight.experts == 1, "a matmul of a stack of {} matrices", weight.experts);
  TQ_CHECK(x.form == weight.traits().input && x.in_padded == weight.in_padded &&
               x.group == (x.form == InputForm::kRotated ? weight.group : 0),
           "activations of width {} and group {} for {} weights of width {} and group {}",
           x.in_padded, x.group, weight.traits().name, weight.in_padded, weight.group);
  return (x.q8 != nullptr ? kernels_.matmul_i8 : kernels_.matmul_f32)[slot(weight.format)];
}

// Element operations of a row times n tokens: decoding a weight costs about as much as multiplying
// it with four tokens, and a multiplication about a quarter of an element operation.
int64_t row_cost(const WeightView& weight, int64_t n_tokens) {
  return weight.in_padded * (n_tokens + 4) / 4;
}

// Rows of a part of a matmul: the threads get equally many parts, of equal size.
int64_t CpuBackend::matmul_grain(const WeightView& weight, int64_t tokens) const {
  const int64_t threads = pool_.size();
  const int64_t most = weight.rows / grain_for(row_cost(weight, tokens));
  const int64_t parts = most < threads ? std::max<int64_t>(most, 1)
                                       : std::min(most / threads, kMatmulPartsPerThread) * threads;
  return round_up(ceil_div(weight.rows, parts), kRowMultiple);
}

void CpuBackend::matmul(const MatmulArgs& args) {
  run(matmul_kernel(args.weight, args.x), args, args.weight.rows,
      matmul_grain(args.weight, args.x.tokens));
}

// Every expert that has pairs is cut into parts of about the same number of rows.
void CpuBackend::matmul_experts(const ExpertMatmulArgs& args) {
  const MatrixStack& weights = args.weights;
  TQ_CHECK(weights.n <= kMaxExperts, "{} experts", weights.n);
  const auto kernel = matmul_kernel(weights.matrix, args.x);
  std::array<int32_t, kMaxExperts> busy;
  int64_t n_busy = 0;
  for (int32_t e = 0; e < weights.n; ++e) {
    if (args.begin[e] < args.begin[e + 1]) busy[slot(n_busy++)] = e;
  }
  if (n_busy == 0) return;
  const int64_t tokens_each = ceil_div(args.begin[weights.n], n_busy);
  const int64_t rows = weights.matrix.rows;
  const int64_t part_rows =
      std::min(round_up(grain_for(row_cost(weights.matrix, tokens_each)), kRowMultiple), rows);
  const int64_t parts_each = ceil_div(rows, part_rows);
  auto part = [&](int64_t begin, int64_t end, int /*thread*/) {
    for (int64_t i = begin; i < end; ++i) {
      const int32_t expert = busy[slot(i / parts_each)];
      const int64_t first_pair = args.begin[expert];
      const int64_t first_row = i % parts_each * part_rows;
      MatmulArgs matmul{.weight = weights[expert], .x = args.x, .out = args.out};
      matmul.x.tokens = args.begin[expert + 1] - first_pair;
      matmul.x.rows = args.x_rows != nullptr ? RowMap{.rows = args.x_rows + first_pair}
                                             : RowMap{.first = first_pair};
      matmul.out_rows = {.first = first_pair};
      kernel(matmul, first_row, std::min(first_row + part_rows, rows));
    }
  };
  pool_.parallel_for(n_busy * parts_each, 1, part);
}

void CpuBackend::matmul_heads(const HeadMatmulArgs& args) {
  const MatrixStack& weights = args.weights;
  const auto kernel = matmul_kernel(weights.matrix, args.x);
  TQ_CHECK(args.x.tokens % weights.n == 0, "{} rows for {} heads", args.x.tokens, weights.n);
  auto part = [&](int64_t begin, int64_t end, int /*thread*/) {
    for (int64_t head = begin; head < end; ++head) {
      MatmulArgs matmul{.weight = weights[head], .x = args.x, .out = args.out};
      matmul.x.tokens = args.x.tokens / weights.n;
      matmul.x.rows = {.first = head, .step = weights.n};
      matmul.out_rows = matmul.x.rows;
      matmul.out_stride = args.out_stride;
      kernel(matmul, 0, weights.matrix.rows);
    }
  };
  const int64_t cost = weights.matrix.rows * row_cost(weights.matrix, args.x.tokens / weights.n);
  pool_.parallel_for(weights.n, grain_for(cost), part);
}

// Sorts the pairs of all tokens by expert, keeping the order of tokens (a counting sort).
void number_pairs(const RouteArgs& args) {
  const Routing& out = args.out;
  const int64_t n_pairs = args.tokens * args.top_k;
  std::fill_n(out.begin, args.n_experts + 1, 0);
  for (int64_t i = 0; i < n_pairs; ++i) ++out.begin[out.experts[i] + 1];
  for (int64_t e = 0; e < args.n_experts; ++e) out.begin[e + 1] += out.begin[e];
  std::array<int32_t, kMaxExperts> next;
  std::copy_n(out.begin, args.n_experts, next.begin());
  for (int64_t i = 0; i < n_pairs; ++i) {
    const int32_t pair = next[slot(out.experts[i])]++;
    out.pairs[i] = pair;
    out.tokens[pair] = static_cast<int32_t>(i / args.top_k);
  }
}

void CpuBackend::route(const RouteArgs& args) {
  TQ_CHECK(args.n_experts <= kMaxExperts && args.top_k <= args.n_experts &&
               args.n_experts % args.n_groups == 0,
           "the best {} of {} experts in {} groups", args.top_k, args.n_experts, args.n_groups);
  run(kernels_.route, args, args.tokens, grain_for(args.n_experts * (args.top_k + 8)));
  number_pairs(args);
}

void CpuBackend::combine(const CombineArgs& args) {
  run(kernels_.combine, args, args.tokens, grain_for(args.dim * args.top_k));
}

void CpuBackend::rms_norm(const RmsNormArgs& args) {
  run(kernels_.rms_norm, args, args.rows, grain_for(args.dim));
}

void CpuBackend::rope_table(const RopeTableArgs& args) {
  run(kernels_.rope_table, args, args.tokens, grain_for(32 * args.n_pairs));
}

void CpuBackend::rope(const RopeArgs& args) {
  run(kernels_.rope, args, args.tokens, grain_for(args.heads * args.n_pairs * 2));
}

void CpuBackend::scale_by_position(const ScaleByPositionArgs& args) {
  run(kernels_.scale_by_position, args, args.tokens, grain_for(args.dim));
}

void CpuBackend::kv_store(const KvStoreArgs& args) {
  const KvLayerView& kv = args.kv;
  run(kernels_.kv_store[slot(kv.format)], args, args.tokens,
      grain_for(kv.n_kv_heads * (kv.k_dim + kv.v_dim)));
}

// Tiles of a sequence are numbered kv head by kv head, row tile by row tile within it.
void CpuBackend::attention(const AttentionArgs& args) {
  const KvLayerView& kv = args.kv;
  const RaggedBatch& batch = args.batch;
  TQ_CHECK(kv.k_dim <= kMaxHeadDim && kv.v_dim <= kMaxHeadDim, "heads of {} and {} dims", kv.k_dim,
           kv.v_dim);
  TQ_CHECK(args.n_heads % kv.n_kv_heads == 0, "{} heads over {} kv heads", args.n_heads,
           kv.n_kv_heads);
  const int64_t group = args.n_heads / kv.n_kv_heads;
  const auto n_rows = [&](int64_t seq) {
    return (batch.q_begin[seq + 1] - batch.q_begin[seq]) * group;
  };
  const int64_t all_rows = (batch.q_begin[batch.n_seqs] - batch.q_begin[0]) * args.n_heads;
  // Whole tiles share each page among the most rows; smaller ones keep every thread busy.
  const int64_t tile_rows = std::clamp<int64_t>(all_rows / pool_.size(), 1, kAttentionRows);
  const auto n_tiles = [&](int64_t seq) { return ceil_div(n_rows(seq), tile_rows); };

  int64_t total = 0;
  int64_t cost = 0;
  for (int64_t seq = 0; seq < batch.n_seqs; ++seq) {
    total += n_tiles(seq) * kv.n_kv_heads;
    cost += n_rows(seq) * kv.n_kv_heads * batch.kv_len[seq] * (kv.k_dim + kv.v_dim) / 2;
  }
  if (total == 0) return;

  const auto kernel = kernels_.attention[slot(kv.format)];
  auto part = [&](int64_t begin, int64_t end, int thread) {
    AttentionScratch& scratch = attention_scratch_.as<AttentionScratch>()[slot(thread)];
    int64_t seq = 0;
    int64_t first = 0;  // number of the sequence's first tile
    for (int64_t i = begin; i < end; ++i) {
      while (i - first >= n_tiles(seq) * kv.n_kv_heads) {
        first += n_tiles(seq) * kv.n_kv_heads;
        ++seq;
      }
      const int64_t row = (i - first) % n_tiles(seq) * tile_rows;
      kernel(args, {seq, (i - first) / n_tiles(seq), row, std::min(row + tile_rows, n_rows(seq))},
             scratch);
    }
  };
  pool_.parallel_for(total, std::max(grain_for(cost / total), total / (8 * pool_.size())), part);
}

void CpuBackend::glu(const GluArgs& args) {
  run(kernels_.glu[slot(args.activate)], args, args.n, grain_for(8));
}

void CpuBackend::glu_clamped(const ClampedGluArgs& args) {
  run(kernels_.glu_clamped, args, args.n, grain_for(8));
}

void CpuBackend::add_expert_bias(const ExpertBiasArgs& args) {
  run(kernels_.add_expert_bias, args, args.pairs, grain_for(args.dim));
}

void CpuBackend::add(const AddArgs& args) { run(kernels_.add, args, args.n, grain_for(1)); }

void CpuBackend::softcap(const SoftcapArgs& args) {
  run(kernels_.softcap, args, args.n, grain_for(8));
}

void CpuBackend::gather_rows(const GatherRowsArgs& args) {
  run(kernels_.gather_rows, args, args.n, grain_for(args.dim));
}

void CpuBackend::sigmoid_gate(const SigmoidGateArgs& args) {
  run(kernels_.sigmoid_gate, args, args.rows, grain_for(8 * args.dim));
}

void CpuBackend::gated_norm(const GatedNormArgs& args) {
  run(kernels_.gated_norm, args, args.rows, grain_for(10 * args.dim));
}

void CpuBackend::short_conv(const ShortConvArgs& args) {
  TQ_CHECK(args.width >= 2 && args.width <= kMaxConvWidth, "a convolution of {} tokens",
           args.width);
  const int64_t tokens = args.batch.q_begin[args.batch.n_seqs];
  run(kernels_.short_conv, args, args.dim, round_up(grain_for(tokens * (args.width + 8)), 64));
}

void CpuBackend::delta_rule(const DeltaRuleArgs& args) {
  TQ_CHECK(args.k_dim <= kMaxStateKey && args.n_heads % args.n_k_heads == 0,
           "{} heads with keys of {} over {} key heads", args.n_heads, args.k_dim, args.n_k_heads);
  const int64_t n = args.batch.n_seqs;
  const int64_t tokens = ceil_div(int64_t{args.batch.q_begin[n]}, n);
  run(kernels_.delta_rule, args, n * args.n_heads, grain_for(2 * tokens * args.k_dim * args.v_dim));
}

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(const CpuOptions& options) {
  return std::make_unique<CpuBackend>(options);
}

}  // namespace tq
