// One decode step of whole models with random weights and random routing. What the residual stream
// holds does not matter for the time; the routing does, so its logits are fixed random numbers.
#include "bench.h"

namespace tq::bench {
namespace {

struct ModelShape {
  const char* name;
  int64_t layers, hidden, n_heads, n_kv_heads, head_dim;
  int64_t dense_width;  // of a layer parallel to the experts; 0: none
  int64_t width, n_experts, top_k, vocab;
};

// Weights of one layer, or the head.
struct Matrix {
  WeightView view;
  const uint8_t* const* table = nullptr;  // of a stack
  MatrixStack stack(int64_t n) const { return {view, n, table, nullptr}; }
};

class Step {
 public:
  Step(Bench& bench, const ModelShape& shape, int64_t seqs, int64_t kv_len)
      : bench_(bench), m_(shape), seqs_(seqs), kv_len_(kv_len) {
    at_ = reinterpret_cast<uint8_t*>(bench.output());
    hidden_ = take<float>(seqs * m_.hidden);
    for (float** x : {&a_, &b_, &c_, &normed_}) *x = take<float>(seqs * m_.hidden);
    q_ = take<float>(seqs * q_rows());
    k_ = take<float>(seqs * kv_rows());
    v_ = take<float>(seqs * kv_rows());
    mixed_ = take<float>(seqs * q_rows());
    wide_ = take<float>(pairs() * std::max(m_.width, m_.dense_width));
    down_ = take<float>(pairs() * m_.hidden);
    logits_ = take<float>(seqs * m_.vocab);
    routing_ = {take<int32_t>(pairs()), take<float>(pairs()), take<int32_t>(pairs()),
                take<int32_t>(pairs()), take<int32_t>(m_.n_experts + 1)};
    token_ = take<int32_t>(seqs);
    storage_ = take<uint8_t>(4 << 20);
    storage2_ = take<uint8_t>(4 << 20);
    workspace_ = take<float>(int64_t{64} << 20);
    cos_ = take<float>(seqs * m_.head_dim);
    make_batch();
    make_weights();
    check(cudaMemset(hidden_, 0x3c, static_cast<size_t>(seqs * m_.hidden * 4)));
  }
  ~Step() { cudaFree(tables_); }

  // Products only: what is left when everything else is free.
  void run(bool products_only) {
    only_ = products_only;
    Activation x = prepare(hidden_, layers_[0].q.view, seqs_, storage_);
    for (const Layer& layer : layers_) x = run_layer(layer, x);
    cuda::matmul({.weight = head_.view, .x = x, .out = logits_}, cuda::Tier::kAuto, stream());
    if (!only_) cuda::argmax({logits_, seqs_, m_.vocab, m_.vocab, token_}, stream());
  }

 private:
  struct Layer {
    Matrix q, k, v, o, gate, up, down, router, expert_gate, expert_up, expert_down;
  };
  int64_t q_rows() const { return m_.n_heads * m_.head_dim; }
  int64_t kv_rows() const { return m_.n_kv_heads * m_.head_dim; }
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
    const int64_t plane = seqs_ * blocks * m_.n_kv_heads * kKvBlockTokens * m_.head_dim;
    for (int64_t i = 0; i < m_.layers; ++i) {
      kv_.push_back({KvDType::kF16, seqs_ * blocks, m_.n_kv_heads, m_.head_dim, m_.head_dim,
                     take<uint16_t>(plane), take<uint16_t>(plane)});
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
    std::vector<size_t> first;  // of the stacks, in pointers_
    const auto stack = [&](int64_t rows, int64_t in, int64_t n) {
      first.push_back(pointers_.size());
      return matrix("tq3", rows, in, n);
    };
    for (int64_t i = 0; i < m_.layers; ++i) {
      Layer layer;
      layer.q = matrix("tq3", q_rows(), m_.hidden);
      layer.k = matrix("tq3", kv_rows(), m_.hidden);
      layer.v = matrix("tq3", kv_rows(), m_.hidden);
      layer.o = matrix("tq3", m_.hidden, q_rows());
      if (m_.dense_width > 0) {
        layer.gate = stack(m_.dense_width, m_.hidden, 1);
        layer.up = stack(m_.dense_width, m_.hidden, 1);
        layer.down = matrix("tq3", m_.hidden, m_.dense_width);
      }
      layer.router = matrix("bf16", m_.n_experts, m_.hidden);
      layer.expert_gate = stack(m_.width, m_.hidden, m_.n_experts);
      layer.expert_up = stack(m_.width, m_.hidden, m_.n_experts);
      layer.expert_down = stack(m_.hidden, m_.width, m_.n_experts);
      layers_.push_back(layer);
    }
    head_ = matrix("tq3", m_.vocab, m_.hidden);
    check(cudaMalloc(reinterpret_cast<void**>(&tables_), pointers_.size() * sizeof(uint8_t*)));
    check(cudaMemcpy(tables_, pointers_.data(), pointers_.size() * sizeof(uint8_t*),
                     cudaMemcpyHostToDevice));
    size_t next = 0;
    for (Layer& layer : layers_) {
      if (m_.dense_width > 0) {
        layer.gate.table = tables_ + first[next++];
        layer.up.table = tables_ + first[next++];
      }
      layer.expert_gate.table = tables_ + first[next++];
      layer.expert_up.table = tables_ + first[next++];
      layer.expert_down.table = tables_ + first[next++];
    }
  }

  PrepareArgs input(const float* x, const WeightView& w, int64_t tokens, void* storage) const {
    return {x, tokens, w.in, w.in_padded, w.group, InputForm::kRotated, storage};
  }
  Activation prepare(const float* x, const WeightView& w, int64_t tokens, void* storage) {
    return cuda::prepare(input(x, w, tokens, storage), false, stream());
  }
  RmsNormArgs norm(const float* x, float* out) const {
    return {x, bench_.input(), 1e-6f, seqs_, m_.hidden, out};
  }
  // hidden += norm(x), and the input of what comes next.
  Activation next_input(const float* x, const WeightView& next, void* storage) {
    return cuda::add_prepare_normed({x, bench_.input(), m_.dense_width > 0, 1e-6f, hidden_, 1.0f},
                                    norm(nullptr, normed_), input(nullptr, next, seqs_, storage),
                                    stream());
  }

  Activation run_layer(const Layer& layer, Activation x) {
    const size_t index = static_cast<size_t>(&layer - layers_.data());
    const WeightView& next = index + 1 < layers_.size() ? layers_[index + 1].q.view : head_.view;
    cuda::matmul_parts({3,
                        {{.weight = layer.q.view, .x = x, .out = q_},
                         {.weight = layer.k.view, .x = x, .out = k_},
                         {.weight = layer.v.view, .x = x, .out = v_}}},
                       stream());
    if (!only_) attend(index);
    const Activation mixed =
        only_ ? Activation(x_of(layer.o.view)) : prepare(mixed_, layer.o.view, seqs_, storage2_);
    cuda::matmul({.weight = layer.o.view, .x = mixed, .out = a_}, cuda::Tier::kAuto, stream());
    if (!only_) x = next_input(a_, layer.expert_gate.view, storage_);
    const float* block = c_;
    if (m_.dense_width > 0) {
      dense(layer, x);
      if (!only_)
        x = cuda::prepare_normed(norm(hidden_, nullptr),
                                 input(nullptr, layer.expert_gate.view, seqs_, storage_), stream());
    }
    experts(layer, x);
    if (only_) return x;
    if (m_.dense_width > 0) {
      cuda::rms_norm(norm(c_, c_), stream());
      cuda::add({b_, c_, 1.0f, seqs_ * m_.hidden, c_}, stream());
    }
    return next_input(block, next, storage_);
  }

  // What a product reads when nothing prepares it.
  Activation x_of(const WeightView& w) const {
    Activation x{InputForm::kRotated, seqs_, w.in, w.in_padded, w.group};
    x.q8_scale = reinterpret_cast<const float*>(storage2_);
    x.q8 = reinterpret_cast<const int8_t*>(storage2_ + (1 << 20));
    return x;
  }

  void attend(size_t layer) {
    cuda::attention_inputs(
        {q_, k_, v_, seqs_, m_.n_heads, true, bench_.input(), bench_.input(), m_.dense_width > 0,
         1e-6f, m_.head_dim / 2, false, cos_, cos_, kv_[layer], slots_},
        stream());
    cuda::attention({kv_[layer], batch_, q_, m_.n_heads, 1.0f, 0, 0, mixed_},
                    {seqs_, kv_len_, workspace_}, stream());
  }

  void dense(const Layer& layer, const Activation& x) {
    cuda::matmul_glu(
        {layer.gate.stack(1), layer.up.stack(1), x, nullptr, nullptr, Activate::kGeluTanh, wide_},
        seqs_, stream());
    const Activation wide =
        only_ ? x_of(layer.down.view) : prepare(wide_, layer.down.view, seqs_, storage2_);
    cuda::matmul({.weight = layer.down.view, .x = wide, .out = b_}, cuda::Tier::kAuto, stream());
    if (!only_) cuda::rms_norm(norm(b_, b_), stream());
  }

  void experts(const Layer& layer, const Activation& x) {
    if (!only_ || !routed_) {
      Activation plain;
      plain.tokens = seqs_;
      plain.in = plain.in_padded = m_.hidden;
      plain.f32 = normed_;
      if (m_.dense_width > 0 && !only_) cuda::rms_norm(norm(hidden_, normed_), stream());
      cuda::matmul({.weight = layer.router.view, .x = plain, .out = wide_}, cuda::Tier::kAuto,
                   stream());
      const int64_t shift = (&layer - layers_.data()) * 4096;
      cuda::route({.logits = bench_.input() + shift,
                   .tokens = seqs_,
                   .n_experts = m_.n_experts,
                   .top_k = m_.top_k,
                   .score = RouteScore::kSoftmax,
                   .out = routing_},
                  stream());
      routed_ = true;
    }
    cuda::matmul_glu({layer.expert_gate.stack(m_.n_experts), layer.expert_up.stack(m_.n_experts), x,
                      routing_.begin, routing_.tokens, Activate::kSilu, wide_},
                     pairs(), stream());
    Activation wide = x_of(layer.expert_down.view);
    wide.tokens = pairs();
    if (!only_) wide = prepare(wide_, layer.expert_down.view, pairs(), storage2_);
    cuda::matmul_experts({.weights = layer.expert_down.stack(m_.n_experts),
                          .x = wide,
                          .begin = routing_.begin,
                          .x_rows = nullptr,
                          .out = down_},
                         pairs(), cuda::Tier::kAuto, stream());
    if (!only_) cuda::combine({down_, routing_, seqs_, m_.top_k, m_.hidden, false, c_}, stream());
  }

  Bench& bench_;
  const ModelShape m_;
  const int64_t seqs_, kv_len_;
  bool only_ = false;
  bool routed_ = false;
  uint8_t* at_;
  int64_t used_ = 0;
  std::vector<const uint8_t*> pointers_;
  const uint8_t** tables_ = nullptr;
  std::vector<Layer> layers_;
  Matrix head_;
  std::vector<KvLayerView> kv_;
  RaggedBatch batch_;
  int64_t* slots_;
  float *hidden_, *a_, *b_, *c_, *normed_, *q_, *k_, *v_, *mixed_, *wide_, *down_, *logits_,
      *workspace_, *cos_;
  Routing routing_;
  int32_t* token_;
  uint8_t *storage_, *storage2_;
};

}  // namespace

void bench_steps(Bench& bench) {
  if (!bench.wants("step")) return;
  // Gemma 4's global layers (5 of 30) are counted as local ones.
  const ModelShape gemma{"gemma-4-26B-A4B", 30, 2816, 16, 8, 256, 2112, 704, 128, 8, 262144};
  const ModelShape qwen{"qwen3-30B-A3B", 48, 2048, 32, 4, 128, 0, 768, 128, 8, 151936};
  for (const ModelShape& shape : {gemma, qwen}) {
    for (const int64_t seqs : {1, 2, 4, 8, 16, 32}) {
      Step step(bench, shape, seqs, 192);
      const double us = bench.time_us([&](int) { step.run(false); }, 1);
      const double products = bench.time_us([&](int) { step.run(true); }, 1);
      std::printf("step %s C=%lld: %.0f us (products alone %.0f us): %.0f tokens/s\n", shape.name,
                  static_cast<long long>(seqs), us, products, static_cast<double>(seqs) / us * 1e6);
      std::fflush(stdout);
    }
  }
}

}  // namespace tq::bench
