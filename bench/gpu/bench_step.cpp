// One decode step of whole models with random weights, kernel by kernel as a backend would call
// them. What the residual stream holds does not matter for the time; the routing does, so the
// router reads fixed random numbers.
#include "bench.h"
#include "kernels/cuda/sample.h"

namespace tq::bench {
namespace {

struct ModelShape {
  const char* name;
  int64_t layers, hidden, n_heads, n_kv_heads, head_dim;
  int64_t dense_width;  // of a layer beside the experts; 0: none
  bool parallel;        // that layer has norms of its own (Gemma 4), or is a shared expert
  int64_t width, n_experts, top_k, vocab;
  // Latent attention: n_kv_heads is 1 and head_dim the value's. 0: none.
  int64_t q_rank = 0, kv_rank = 0, nope_dim = 0, rope_dim = 0;
};

// Weights of one layer, or the head.
struct Matrix {
  WeightView view;
  const uint8_t* const* table = nullptr;  // of a stack
  MatrixStack stack(int64_t n) const { return {view, n, table, nullptr}; }
};

// What a step is made of, for leaving some of it out.
enum Part : unsigned {
  kBlockEnds = 1,
  kInputs = 2,
  kAttention = 4,
  kPrepares = 8,
  kRouter = 16,
  kNoProduct = 31,
  kAttentionProducts = 32,
  kDense = 64,
  kExperts = 128,
  kHead = 256,
};
constexpr std::pair<const char*, unsigned> kParts[] = {
    {"ends of blocks", kBlockEnds},
    {"norms, rope, KV store", kInputs},
    {"attention", kAttention},
    {"rotation of inputs", kPrepares},
    {"router", kRouter},
    {"products of attention", kAttentionProducts},
    {"products of dense layers", kDense},
    {"products of experts", kExperts},
    {"head and sampling", kHead},
};

class Step {
 public:
  Step(Bench& bench, const ModelShape& shape, int64_t seqs, int64_t kv_len)
      : bench_(bench), m_(shape), seqs_(seqs), kv_len_(kv_len) {
    at_ = reinterpret_cast<uint8_t*>(bench.output());
    for (float** x : {&hidden_, &a_, &b_, &normed_}) *x = take<float>(seqs * m_.hidden);
    q_ = take<float>(seqs * q_rows());
    k_ = take<float>(seqs * kv_rows());
    v_ = take<float>(seqs * kv_rows());
    query_ = take<float>(seqs * m_.n_heads * key_dim());
    mixed_ = take<float>(seqs * m_.n_heads * std::max(m_.head_dim, m_.kv_rank));
    values_ = take<float>(seqs * m_.n_heads * m_.head_dim);
    wide_ = take<float>(std::max(pairs() * m_.width, seqs * m_.dense_width));
    down_ = take<float>(pairs() * m_.hidden);
    logits_ = take<float>(seqs * m_.vocab);
    routing_ = {take<int32_t>(pairs()), take<float>(pairs()), take<int32_t>(pairs()),
                take<int32_t>(pairs()), take<int32_t>(m_.n_experts + 1)};
    const int64_t n_counters = cuda::router_counters() + cuda::attention_counters();
    counter_ = take<uint32_t>(n_counters);
    token_ = take<int32_t>(seqs);
    sample_rows_ = take<SampleRow>(seqs);
    for (uint8_t** storage : {&dense_x_, &experts_x_, &other_x_}) *storage = take<uint8_t>(4 << 20);
    workspace_ = take<float>(int64_t{64} << 20);
    cos_ = take<float>(seqs * m_.head_dim);
    make_batch();
    make_weights();
    check(cudaMemset(counter_, 0, static_cast<size_t>(n_counters) * sizeof(uint32_t)));
    const std::vector<SampleRow> greedy(static_cast<size_t>(seqs));
    check(cudaMemcpy(sample_rows_, greedy.data(), greedy.size() * sizeof(SampleRow),
                     cudaMemcpyHostToDevice));
    check(cudaMemcpy(hidden_, bench.input(), static_cast<size_t>(seqs * m_.hidden * 4),
                     cudaMemcpyDeviceToDevice));
  }
  ~Step() { cudaFree(tables_); }

  // Without the parts that `skipped` names: they are free then.
  void run(unsigned skipped) {
    skipped_ = skipped;
    Activation x = end_block({.n_outputs = 1, .output = {output(nullptr, dense_x_)}});
    for (const Layer& layer : layers_) x = run_layer(layer, x);
    if (skips(kHead)) return;
    cuda::matmul({.weight = head_.view, .x = x, .out = logits_}, cuda::Tier::kAuto, stream());
    cuda::sample({logits_, seqs_, m_.vocab, m_.vocab, sample_rows_, nullptr, token_}, stream());
  }

 private:
  struct Layer {
    Matrix q, k, v, o, gate, up, down, router, expert_gate, expert_up, expert_down;
    Matrix q_b, k_absorb, v_expand;  // of latent attention; q and k are q_a and kv_a then
  };
  bool skips(Part part) const { return (skipped_ & part) != 0; }
  bool latent() const { return m_.kv_rank > 0; }
  int64_t key_dim() const { return latent() ? m_.kv_rank + m_.rope_dim : m_.head_dim; }
  int64_t query_dim() const { return latent() ? m_.nope_dim + m_.rope_dim : m_.head_dim; }
  int64_t q_rows() const { return m_.n_heads * query_dim(); }
  int64_t kv_rows() const { return m_.n_kv_heads * key_dim(); }
  int64_t pairs() const { return seqs_ * m_.top_k; }
  cudaStream_t stream() const { return bench_.stream(); }

  template <typename T>
  T* take(int64_t n) {
    T* out = reinterpret_cast<T*>(at_);
    at_ += round_up(n * static_cast<int64_t>(sizeof(T)), 256);
    return out;
  }

  void make_batch() {
    const int64_t blocks = ceil_div(kv_len_, kKvBlockTokens);
    std::vector<int32_t> all;
    for (int32_t s = 0; s <= seqs_; ++s) all.push_back(s);
    all.insert(all.end(), static_cast<size_t>(seqs_), static_cast<int32_t>(kv_len_));
    for (int32_t b = 0; b < seqs_ * blocks; ++b) all.push_back(b);
    auto* integers = take<int32_t>(static_cast<int64_t>(all.size()));
    check(cudaMemcpy(integers, all.data(), all.size() * 4, cudaMemcpyHostToDevice));
    batch_ = {seqs_, integers, integers + seqs_ + 1, integers + 2 * seqs_ + 1, blocks};
    std::vector<int64_t> slots;
    for (int64_t s = 0; s < seqs_; ++s) slots.push_back(s * blocks * kKvBlockTokens);
    slots_ = take<int64_t>(seqs_);
    check(cudaMemcpy(slots_, slots.data(), slots.size() * 8, cudaMemcpyHostToDevice));
    const int64_t plane = seqs_ * blocks * m_.n_kv_heads * kKvBlockTokens * key_dim();
    for (int64_t i = 0; i < m_.layers; ++i) {
      auto* k = take<uint16_t>(plane);
      uint16_t* v = latent() ? nullptr : take<uint16_t>(plane);
      kv_.push_back({KvDType::kF16, seqs_ * blocks, m_.n_kv_heads, key_dim(),
                     latent() ? m_.kv_rank : m_.head_dim, k, v});
    }
  }

  Matrix matrix(const char* format, int64_t rows, int64_t in, int64_t n = 1) {
    Matrix out{make_view(format, rows, in)};
    const int64_t bytes = round_up(cuda::relayout_bytes(out.view), 256);
    for (int64_t i = 0; i < n; ++i) {
      if (used_ + bytes > kArenaBytes) used_ = 0;
      pointers_.push_back(bench_.weights(256, used_ / 256));
      used_ += bytes;
    }
    out.view.codes = pointers_.back();
    return out;
  }

  void make_weights() {
    std::vector<std::pair<size_t, size_t>> first;  // of a layer's stacks: layer, place in pointers_
    std::vector<Matrix Layer::*> stacks;
    const auto stack = [&](Matrix Layer::*member, int64_t rows, int64_t in, int64_t n) {
      first.emplace_back(layers_.size() - 1, pointers_.size());
      stacks.push_back(member);
      layers_.back().*member = matrix("tq3", rows, in, n);
    };
    for (int64_t i = 0; i < m_.layers; ++i) {
      Layer& layer = layers_.emplace_back();
      if (latent()) {
        layer.q = matrix("tq3", m_.q_rank, m_.hidden);
        layer.k = matrix("tq3", key_dim(), m_.hidden);
        layer.q_b = matrix("tq3", q_rows(), m_.q_rank);
        stack(&Layer::k_absorb, m_.kv_rank, m_.nope_dim, m_.n_heads);
        stack(&Layer::v_expand, m_.head_dim, m_.kv_rank, m_.n_heads);
      } else {
        layer.q = matrix("tq3", q_rows(), m_.hidden);
        layer.k = matrix("tq3", kv_rows(), m_.hidden);
        layer.v = matrix("tq3", kv_rows(), m_.hidden);
      }
      layer.o = matrix("tq3", m_.hidden, m_.n_heads * m_.head_dim);
      if (m_.dense_width > 0) {
        stack(&Layer::gate, m_.dense_width, m_.hidden, 1);
        stack(&Layer::up, m_.dense_width, m_.hidden, 1);
        layer.down = matrix("tq3", m_.hidden, m_.dense_width);
      }
      layer.router = matrix("bf16", m_.n_experts, m_.hidden);
      stack(&Layer::expert_gate, m_.width, m_.hidden, m_.n_experts);
      stack(&Layer::expert_up, m_.width, m_.hidden, m_.n_experts);
      stack(&Layer::expert_down, m_.hidden, m_.width, m_.n_experts);
    }
    head_ = matrix("tq3", m_.vocab, m_.hidden);
    check(cudaMalloc(reinterpret_cast<void**>(&tables_), pointers_.size() * sizeof(uint8_t*)));
    check(cudaMemcpy(tables_, pointers_.data(), pointers_.size() * sizeof(uint8_t*),
                     cudaMemcpyHostToDevice));
    for (size_t i = 0; i < first.size(); ++i) {
      (layers_[first[i].first].*stacks[i]).table = tables_ + first[i].second;
    }
  }

  PrepareArgs rows(const float* x, const WeightView& w, int64_t tokens) const {
    return {x, tokens, w.in, w.in_padded, w.group, InputForm::kRotated, other_x_};
  }
  cuda::ResidualOutput output(float* rows, void* storage) const {
    return {bench_.input(), rows, storage};
  }
  // The first output; the others are found by their storage.
  Activation end_block(cuda::BlockEndArgs args) {
    args.residual = hidden_;
    args.eps = 1e-6f;
    args.tokens = seqs_;
    args.dim = args.in_padded = m_.hidden;
    args.group = 128;
    if (skips(kBlockEnds)) {
      outputs_.fill(x_of(layers_[0].q.view));
      return outputs_[0];
    }
    outputs_ = cuda::end_block(args, stream());
    return outputs_[0];
  }
  // What a product reads when nothing prepares it.
  Activation x_of(const WeightView& w, int64_t per_token = 1) const {
    Activation x{InputForm::kRotated, seqs_ * per_token, w.in, w.in_padded, w.group};
    x.q8_scale = reinterpret_cast<const float*>(other_x_);
    x.q8 = reinterpret_cast<const int8_t*>(other_x_ + (1 << 20));
    return x;
  }
  // `stride`: of the rows, in elements.
  Activation prepared(const float* x, const WeightView& w, int64_t tokens, int64_t stride = 0) {
    if (skips(kPrepares)) return x_of(w, tokens / seqs_);
    return cuda::prepare_strided(rows(x, w, tokens), stride > 0 ? stride : w.in, false, stream());
  }
  void multiply(const Matrix& w, const Activation& x, float* out) {
    cuda::matmul({.weight = w.view, .x = x, .out = out}, cuda::Tier::kAuto, stream());
  }
  void multiply_heads(const Matrix& w, const Activation& x, float* out, int64_t out_stride) {
    if (skips(kAttentionProducts)) return;
    cuda::matmul_heads({w.stack(m_.n_heads), x, out, out_stride}, cuda::Tier::kAuto, stream());
  }

  Activation run_layer(const Layer& layer, const Activation& x) {
    const Activation o_x = latent() ? attend_latent(layer, x) : attend(layer, x);
    if (!skips(kAttentionProducts)) multiply(layer.o, o_x, a_);
    const bool norms = m_.parallel;  // Gemma's: of what a block returns too
    cuda::BlockEndArgs middle{.n_terms = 1,
                              .term = {{.x = a_, .normed = norms, .norm_weight = bench_.input()}}};
    if (norms) {
      middle.n_outputs = 3;
      middle.output[0] = output(nullptr, dense_x_);
      middle.output[1] = output(normed_, nullptr);
      middle.output[2] = output(nullptr, experts_x_);
    } else {
      middle.n_outputs = 1;
      middle.output[0] = output(normed_, dense_x_);
    }
    const Activation mlp_x = end_block(middle);
    const Activation experts_x = norms ? outputs_[2] : mlp_x;
    if (m_.dense_width > 0) {
      if (!skips(kDense)) {
        cuda::matmul_glu({layer.gate.stack(1), layer.up.stack(1), mlp_x, nullptr, nullptr,
                          Activate::kGeluTanh, wide_},
                         seqs_, cuda::Tier::kAuto, stream());
      }
      const Activation down_x = prepared(wide_, layer.down.view, seqs_);
      if (!skips(kDense)) multiply(layer.down, down_x, b_);
    }
    experts(layer, experts_x);
    cuda::BlockEndArgs end{.sum_normed = norms,
                           .sum_weight = bench_.input(),
                           .n_outputs = 1,
                           .output = {output(nullptr, dense_x_)}};
    if (m_.dense_width > 0) {
      end.term[end.n_terms++] = {.x = b_, .normed = norms, .norm_weight = bench_.input()};
    }
    end.term[end.n_terms++] = {.x = down_,
                               .top_k = m_.top_k,
                               .routing = routing_,
                               .normed = norms,
                               .norm_weight = bench_.input()};
    return end_block(end);
  }

  // The input of o.
  Activation attend(const Layer& layer, const Activation& x) {
    if (!skips(kAttentionProducts)) {
      cuda::matmul_parts({3,
                          {{.weight = layer.q.view, .x = x, .out = q_},
                           {.weight = layer.k.view, .x = x, .out = k_},
                           {.weight = layer.v.view, .x = x, .out = v_}}},
                         stream());
    }
    const KvLayerView& kv = kv_[static_cast<size_t>(&layer - layers_.data())];
    const AttentionInputsArgs inputs{q_,
                                     k_,
                                     v_,
                                     false,
                                     seqs_,
                                     m_.n_heads,
                                     m_.head_dim,
                                     true,
                                     bench_.input(),
                                     bench_.input(),
                                     m_.parallel,
                                     1e-6f,
                                     m_.head_dim / 2,
                                     false,
                                     cos_,
                                     cos_,
                                     kv,
                                     slots_};
    return mix(inputs, q_, layer.o.view, seqs_);
  }

  // The input of what comes next, `reader`. inputs: of heads or latent.
  template <typename Inputs>
  Activation mix(const Inputs& inputs, const float* q, const WeightView& reader, int64_t tokens) {
    if (skips(kAttention)) return prepared(mixed_, reader, tokens);
    const AttentionArgs args{inputs.kv, batch_, q, m_.n_heads, 1.0f, 0, 0, mixed_};
    const cuda::AttentionBounds bounds{seqs_, kv_len_, workspace_,
                                       counter_ + cuda::router_counters(), cuda::kMostDecodeSeqs};
    if (!skips(kPrepares)) {
      const PrepareArgs next = rows(mixed_, reader, tokens);
      if (skips(kInputs)) return cuda::attention_prepared(args, bounds, next, false, stream());
      return cuda::attention_prepared(inputs, args, bounds, next, false, stream());
    }
    cuda::attention(args, bounds, stream());
    return x_of(reader, tokens / seqs_);
  }

  Activation attend_latent(const Layer& layer, const Activation& x) {
    if (!skips(kAttentionProducts)) {
      cuda::matmul_parts({2,
                          {{.weight = layer.q.view, .x = x, .out = q_},
                           {.weight = layer.k.view, .x = x, .out = k_}}},
                         stream());
    }
    Activation q_x = x_of(layer.q_b.view);
    if (!skips(kPrepares)) {
      q_x = cuda::prepare_normed({q_, bench_.input(), 1e-6f, seqs_, m_.q_rank, nullptr},
                                 rows(nullptr, layer.q_b.view, seqs_), stream());
    }
    if (!skips(kAttentionProducts)) multiply(layer.q_b, q_x, values_);
    const KvLayerView& kv = kv_[static_cast<size_t>(&layer - layers_.data())];
    const LatentInputsArgs inputs{k_,     bench_.input(), 1e-6f,      values_,    m_.nope_dim,
                                  query_, seqs_,          m_.n_heads, m_.kv_rank, m_.rope_dim / 2,
                                  true,   cos_,           cos_,       kv,         slots_};
    const int64_t heads = seqs_ * m_.n_heads;
    multiply_heads(layer.k_absorb, prepared(values_, layer.k_absorb.view, heads, query_dim()),
                   query_, key_dim());
    multiply_heads(layer.v_expand, mix(inputs, query_, layer.v_expand.view, heads), values_,
                   m_.head_dim);
    return prepared(values_, layer.o.view, seqs_);
  }

  void experts(const Layer& layer, const Activation& x) {
    if (!skips(kRouter)) route(layer);
    if (!skips(kExperts)) {
      cuda::matmul_glu({layer.expert_gate.stack(m_.n_experts), layer.expert_up.stack(m_.n_experts),
                        x, routing_.begin, routing_.tokens, Activate::kSilu, wide_},
                       pairs(), cuda::Tier::kAuto, stream());
    }
    const Activation down_x = prepared(wide_, layer.expert_down.view, pairs());
    if (skips(kExperts)) return;
    cuda::matmul_experts(
        {layer.expert_down.stack(m_.n_experts), down_x, routing_.begin, nullptr, down_}, pairs(),
        cuda::Tier::kAuto, stream());
  }

  void route(const Layer& layer) {
    const float* x = bench_.input() + (&layer - layers_.data()) * seqs_ * m_.hidden;
    Activation plain;
    plain.tokens = seqs_;
    plain.in = plain.in_padded = m_.hidden;
    plain.f32 = x;
    const RouterArgs router{layer.router.view,
                            plain,
                            nullptr,
                            logits_,
                            {.logits = logits_,
                             .tokens = seqs_,
                             .n_experts = m_.n_experts,
                             .top_k = m_.top_k,
                             .score = RouteScore::kSoftmax,
                             .out = routing_}};
    if (cuda::supports_router(router)) return cuda::route_tokens(router, counter_, stream());
    cuda::matmul({.weight = layer.router.view, .x = plain, .out = logits_}, cuda::Tier::kAuto,
                 stream());
    cuda::route(router.route, stream());
  }

  Bench& bench_;
  const ModelShape m_;
  const int64_t seqs_, kv_len_;
  unsigned skipped_ = 0;
  uint8_t* at_;
  int64_t used_ = 0;
  std::vector<const uint8_t*> pointers_;
  const uint8_t** tables_ = nullptr;
  std::vector<Layer> layers_;
  Matrix head_;
  std::vector<KvLayerView> kv_;
  RaggedBatch batch_;
  int64_t* slots_;
  float *hidden_, *a_, *b_, *normed_, *q_, *k_, *v_, *query_, *mixed_, *values_, *wide_, *down_,
      *logits_, *workspace_, *cos_;
  Routing routing_;
  uint32_t* counter_;
  int32_t* token_;
  SampleRow* sample_rows_;
  uint8_t *dense_x_, *experts_x_, *other_x_;
  std::array<Activation, cuda::kMaxOutputs> outputs_;
};

}  // namespace

void bench_steps(Bench& bench) {
  // Gemma 4's global layers (5 of 30) are counted as local ones, GLM's first layer as the others.
  const ModelShape gemma{"gemma-4-26B-A4B", 30, 2816, 16, 8, 256, 2112, true, 704, 128, 8, 262144};
  const ModelShape qwen{"qwen3-30B-A3B", 48, 2048, 32, 4, 128, 0, false, 768, 128, 8, 151936};
  const ModelShape glm{"glm-4.7-flash", 47,  2048, 20,  1, 256, 1536, false, 1536, 64, 4,
                       154880,          768, 512,  192, 64};
  for (const ModelShape& shape : {gemma, qwen, glm}) {
    for (const int64_t seqs : {1, 2, 4, 8, 16, 32}) {
      const std::string name = fmt::format("step {} C={}:", shape.name, seqs);
      if (!bench.wants(name)) continue;
      Step step(bench, shape, seqs, 192);
      const auto time = [&](unsigned skipped) {
        return bench.time_us([&](int) { step.run(skipped); }, 1);
      };
      const double us = time(0);
      std::printf("%s %.0f us (products alone %.0f us): %.0f tokens/s\n", name.c_str(), us,
                  time(kNoProduct), static_cast<double>(seqs) / us * 1e6);
      for (const auto& [part_name, part] : kParts) {
        std::printf("  %-26s %6.0f us\n", part_name, us - time(part));
      }
      std::fflush(stdout);
    }
  }
}

}  // namespace tq::bench
