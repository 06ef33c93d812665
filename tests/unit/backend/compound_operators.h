// Every compound operator of a backend against its parts, which are called one by one on the same
// backend: on the CPU the same bits, on a GPU what its fused kernels may differ by.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <deque>
#include <random>
#include <vector>

#include "backend/backend.h"
#include "base/float16.h"
#include "unit/backend/backend_fixture.h"

namespace tq::fixtures {

// A backend's memory with what a test puts there.
class OnBackend {
 public:
  // tolerance: ||a - b|| / ||b|| of results; 0: bits must be the same.
  OnBackend(Backend& on, double tolerance) : backend(on), tolerance_(tolerance) {}

  Backend& backend;

  template <typename T>
  T* put(const std::vector<T>& values) {
    buffers_.push_back(backend.allocate(values.size() * sizeof(T)));
    backend.upload(values.data(), buffers_.back().data(), values.size() * sizeof(T));
    return reinterpret_cast<T*>(buffers_.back().data());
  }
  template <typename T = float>
  T* room(int64_t n) {
    return put(std::vector<T>(static_cast<size_t>(n)));
  }
  float* random(int64_t n) {
    std::normal_distribution<float> normal;
    std::vector<float> values(static_cast<size_t>(n));
    for (float& value : values) value = normal(random_);
    return put(values);
  }
  template <typename T>
  T* copy(const T* from, int64_t n) {
    return put(read(from, n));
  }
  template <typename T>
  std::vector<T> read(const T* from, int64_t n) {
    std::vector<T> values(static_cast<size_t>(n));
    backend.download(from, values.data(), values.size() * sizeof(T));
    return values;
  }

  WeightView weight(const char* format, int64_t rows, int64_t in) {
    const RandomWeight& own = weights_.emplace_back(format, rows, in, random_());
    return backend.import_weight(own.view, buffers_.emplace_back());
  }
  MatrixStack stack(const char* format, int64_t n, int64_t rows, int64_t in) {
    std::vector<const uint8_t*> codes;
    std::vector<const uint16_t*> gains;
    MatrixStack stack{.n = n};
    for (int64_t i = 0; i < n; ++i) {
      stack.matrix = weight(format, rows, in);
      codes.push_back(stack.matrix.codes);
      gains.push_back(stack.matrix.gains);
    }
    stack.codes = put(codes);
    stack.gains = put(gains);
    return stack;
  }
  // Of rows x [tokens, weight.in] for products with the weight, in memory of its own.
  PrepareArgs prepare_args(const float* x, int64_t tokens, const WeightView& weight) {
    const InputForm form = weight.traits().input;
    const size_t bytes = backend.activation_bytes(tokens, weight.in_padded, weight.group, form);
    return {x,
            tokens,
            weight.in,
            weight.in_padded,
            weight.group,
            form,
            room<uint8_t>(static_cast<int64_t>(bytes) + 1)};
  }
  Activation prepare(const float* x, int64_t tokens, const WeightView& weight) {
    return backend.prepare(prepare_args(x, tokens, weight));
  }
  std::vector<float> product(const WeightView& weight, const Activation& x) {
    float* out = room(x.tokens * weight.rows);
    backend.matmul({.weight = weight, .x = x, .out = out});
    return read(out, x.tokens * weight.rows);
  }

  void expect_equal(const std::vector<float>& got, const std::vector<float>& expected,
                    const char* what) const {
    ASSERT_EQ(got.size(), expected.size()) << what;
    if (tolerance_ == 0) {
      EXPECT_EQ(std::memcmp(got.data(), expected.data(), got.size() * sizeof(float)), 0) << what;
      return;
    }
    double error = 0, norm = 0;
    for (size_t i = 0; i < got.size(); ++i) {
      error += (double{got[i]} - expected[i]) * (double{got[i]} - expected[i]);
      norm += double{expected[i]} * expected[i];
    }
    EXPECT_GT(norm, 0) << what;
    EXPECT_LE(std::sqrt(error / norm), tolerance_) << what;
  }
  void expect_equal(const float* got, const float* expected, int64_t n, const char* what) {
    expect_equal(read(got, n), read(expected, n), what);
  }

 private:
  double tolerance_;
  std::mt19937 random_{11};
  std::deque<RandomWeight> weights_;
  std::deque<Buffer> buffers_;
};

constexpr float kEps = 1e-5f;
constexpr int64_t kHidden = 320;  // padded to 384 for rotated formats
constexpr int64_t kExpertCount = 6;
constexpr int64_t kChosen = 3;

// Experts of random scores for each token.
inline Routing routing(OnBackend& on, int64_t tokens) {
  const int64_t pairs = tokens * kChosen;
  const Routing out{on.room<int32_t>(pairs), on.room(pairs), on.room<int32_t>(pairs),
                    on.room<int32_t>(pairs), on.room<int32_t>(kExpertCount + 1)};
  on.backend.route({.logits = on.random(tokens * kExpertCount),
                    .tokens = tokens,
                    .n_experts = kExpertCount,
                    .top_k = kChosen,
                    .score = RouteScore::kSoftmax,
                    .out = out});
  return out;
}

// add_results by its parts: what the residual stream becomes.
inline float* added(OnBackend& on, const AddResultsArgs& args) {
  const int64_t n = args.tokens * args.dim;
  const auto norm = [&](const float* x, const float* weight) {
    float* out = on.room(n);
    on.backend.rms_norm({x, weight, args.eps, args.tokens, args.dim, out});
    return out;
  };
  float* sum = on.room(n);
  for (int i = 0; i < args.n_results; ++i) {
    const BlockResult& result = args.results[i];
    const float* x = result.x;
    if (result.top_k > 0) {
      float* rows = on.room(n);
      on.backend.combine(
          {result.x, result.routing, args.tokens, result.top_k, args.dim, false, rows});
      x = rows;
    }
    if (result.norm_weight != nullptr) x = norm(x, result.norm_weight);
    on.backend.add({.a = sum, .b = x, .n = n, .out = sum});
  }
  if (args.norm_weight != nullptr) sum = norm(sum, args.norm_weight);
  float* out = on.copy(args.residual, n);
  if (args.n_results > 0) {
    on.backend.add({.a = out, .b = sum, .scale = args.scale, .n = n, .out = out});
  }
  return out;
}

// Results of every kind.
inline std::vector<AddResultsArgs> kinds_of_results(OnBackend& on, int64_t tokens) {
  const int64_t n = tokens * kHidden;
  const BlockResult rows{.x = on.random(n)};
  const BlockResult normed{.x = on.random(n), .norm_weight = on.random(kHidden)};
  const BlockResult experts{
      .x = on.random(n * kChosen), .top_k = kChosen, .routing = routing(on, tokens)};
  BlockResult normed_experts = experts;
  normed_experts.norm_weight = on.random(kHidden);
  const AddResultsArgs nothing{.results = {},
                               .eps = kEps,
                               .tokens = tokens,
                               .dim = kHidden,
                               .residual = on.random(n),
                               .scratch = on.room(2 * n)};
  std::vector<AddResultsArgs> kinds = {nothing};
  for (const auto& [first, second] :
       {std::pair{rows, normed}, std::pair{normed, normed_experts}, std::pair{experts, rows}}) {
    for (const int n_results : {1, 2}) {
      AddResultsArgs args = nothing;
      args.results[0] = first;
      if (n_results == 2) args.results[1] = second;
      args.n_results = n_results;
      args.scale = n_results == 2 ? 0.7f : 1.0f;
      args.norm_weight = n_results == 2 ? on.random(kHidden) : nullptr;
      args.residual = on.random(n);
      kinds.push_back(args);
    }
  }
  return kinds;
}

inline void check_add_results(OnBackend& on, int64_t tokens) {
  for (const AddResultsArgs& args : kinds_of_results(on, tokens)) {
    const float* expected = added(on, args);
    on.backend.add_results(args);
    on.expect_equal(args.residual, expected, tokens * kHidden, "residual");
  }
}

inline void check_next_inputs(OnBackend& on, int64_t tokens) {
  const int64_t n = tokens * kHidden;
  const WeightView readers[] = {on.weight("tq4", 40, kHidden), on.weight("bf16", 40, kHidden),
                                on.weight("tq4", 60, kHidden)};
  for (const AddResultsArgs& add : kinds_of_results(on, tokens)) {
    NormedInput inputs[3];
    for (int i = 0; i < 3; ++i) {
      float* rows = on.room(n);
      inputs[i] = {on.random(kHidden), rows, on.prepare_args(rows, tokens, readers[i]), {}};
    }
    const float* expected = added(on, add);
    on.backend.next_inputs({add, inputs, 3});
    on.expect_equal(add.residual, expected, n, "residual");
    for (int i = 0; i < 3; ++i) {
      float* rows = on.room(n);
      on.backend.rms_norm({expected, inputs[i].norm_weight, kEps, tokens, kHidden, rows});
      on.expect_equal(inputs[i].rows, rows, n, "rows");
      on.expect_equal(on.product(readers[i], inputs[i].activation),
                      on.product(readers[i], on.prepare(rows, tokens, readers[i])), "product");
    }
  }
}

inline void check_matmul_shared(OnBackend& on, int64_t tokens) {
  const WeightView weights[] = {on.weight("tq3", 200, kHidden), on.weight("tq3", 50, kHidden),
                                on.weight("tq3", 64, kHidden)};
  const Activation x = on.prepare(on.random(tokens * kHidden), tokens, weights[0]);
  const float* bias = on.random(50);
  std::vector<MatmulArgs> products;
  for (const WeightView& weight : weights) {
    products.push_back({.weight = weight, .x = x, .out = on.room(tokens * weight.rows)});
  }
  products[1].bias = bias;
  on.backend.matmul_shared(products);
  for (MatmulArgs product : products) {
    const float* got = product.out;
    product.out = on.room(tokens * product.weight.rows);
    on.backend.matmul(product);
    on.expect_equal(got, product.out, tokens * product.weight.rows, "product");
  }
}

inline void check_matmul_gated(OnBackend& on, int64_t tokens) {
  constexpr int64_t kWidth = 136;
  for (const char* format : {"tq4", "bf16"}) {
    const WeightView gate = on.weight(format, kWidth, kHidden);
    const WeightView up = on.weight(format, kWidth, kHidden);
    const Activation x = on.prepare(on.random(tokens * kHidden), tokens, gate);
    for (const Activate activate : {Activate::kSilu, Activate::kGeluTanh, Activate::kGelu}) {
      const bool biased = activate == Activate::kGelu;
      const GatedMatmulArgs args{.gate = gate,
                                 .up = up,
                                 .gate_bias = biased ? on.random(kWidth) : nullptr,
                                 .up_bias = biased ? on.random(kWidth) : nullptr,
                                 .x = x,
                                 .activate = activate,
                                 .out = on.room(tokens * kWidth),
                                 .scratch = on.room(tokens * kWidth)};
      float* gates = on.room(tokens * kWidth);
      float* ups = on.room(tokens * kWidth);
      on.backend.matmul({.weight = gate, .x = x, .bias = args.gate_bias, .out = gates});
      on.backend.matmul({.weight = up, .x = x, .bias = args.up_bias, .out = ups});
      on.backend.glu({activate, gates, ups, tokens * kWidth, gates});
      on.backend.matmul_gated(args);
      on.expect_equal(args.out, gates, tokens * kWidth, format);
    }
  }
}

inline void check_matmul_gated_experts(OnBackend& on, int64_t tokens) {
  constexpr int64_t kWidth = 88;
  const int64_t pairs = tokens * kChosen;
  for (const char* format : {"tq3", "bf16"}) {
    const MatrixStack gate = on.stack(format, kExpertCount, kWidth, kHidden);
    const MatrixStack up = on.stack(format, kExpertCount, kWidth, kHidden);
    const Routing chosen = routing(on, tokens);
    const Activation x = on.prepare(on.random(tokens * kHidden), tokens, gate.matrix);
    const GatedExpertsArgs args{.gate = gate,
                                .up = up,
                                .x = x,
                                .begin = chosen.begin,
                                .x_rows = chosen.tokens,
                                .pairs = pairs,
                                .activate = Activate::kSilu,
                                .out = on.room(pairs * kWidth),
                                .scratch = on.room(pairs * kWidth)};
    float* gates = on.room(pairs * kWidth);
    float* ups = on.room(pairs * kWidth);
    on.backend.matmul_experts({gate, x, chosen.begin, chosen.tokens, gates, pairs});
    on.backend.matmul_experts({up, x, chosen.begin, chosen.tokens, ups, pairs});
    on.backend.glu({Activate::kSilu, gates, ups, pairs * kWidth, gates});
    on.backend.matmul_gated_experts(args);
    on.expect_equal(args.out, gates, pairs * kWidth, format);
  }
}

inline void check_route_tokens(OnBackend& on, int64_t tokens) {
  const int64_t pairs = tokens * kChosen;
  for (const char* format : {"bf16", "tq8"}) {
    const WeightView weight = on.weight(format, kExpertCount, kHidden);
    const Routing got = routing(on, tokens), expected = routing(on, tokens);
    RouterArgs args{.weight = weight,
                    .x = on.prepare(on.random(tokens * kHidden), tokens, weight),
                    .bias = on.random(kExpertCount),
                    .logits = on.room(tokens * kExpertCount),
                    .route = {.logits = nullptr,
                              .tokens = tokens,
                              .n_experts = kExpertCount,
                              .top_k = kChosen,
                              .score = RouteScore::kSigmoid,
                              .selection_bias = on.random(kExpertCount),
                              .expert_scale = on.random(kExpertCount),
                              .out = got}};
    on.backend.route_tokens(args);
    float* logits = on.room(tokens * kExpertCount);
    on.backend.matmul({.weight = weight, .x = args.x, .bias = args.bias, .out = logits});
    args.route.logits = logits;
    args.route.out = expected;
    on.backend.route(args.route);
    EXPECT_EQ(on.read(got.experts, pairs), on.read(expected.experts, pairs)) << format;
    EXPECT_EQ(on.read(got.pairs, pairs), on.read(expected.pairs, pairs)) << format;
    EXPECT_EQ(on.read(got.tokens, pairs), on.read(expected.tokens, pairs)) << format;
    EXPECT_EQ(on.read(got.begin, kExpertCount + 1), on.read(expected.begin, kExpertCount + 1));
    on.expect_equal(got.weights, expected.weights, pairs, format);
  }
}

inline void check_prepare_normed(OnBackend& on, int64_t tokens) {
  const int64_t n = tokens * kHidden;
  for (const char* format : {"tq4", "bf16"}) {
    const WeightView weight = on.weight(format, 40, kHidden);
    const RmsNormArgs norm{on.random(n), on.random(kHidden), kEps, tokens, kHidden, on.room(n)};
    const Activation got =
        on.backend.prepare_normed(norm, on.prepare_args(norm.out, tokens, weight));
    const std::vector<float> product = on.product(weight, got);
    float* rows = on.room(n);
    on.backend.rms_norm({norm.x, norm.weight, kEps, tokens, kHidden, rows});
    on.expect_equal(product, on.product(weight, on.prepare(rows, tokens, weight)), format);
  }
}

inline void check_prepare_strided(OnBackend& on, int64_t tokens) {
  constexpr int64_t kStride = kHidden + 64;
  for (const char* format : {"tq4", "bf16"}) {
    const WeightView weight = on.weight(format, 40, kHidden);
    const float* x = on.random(tokens * kStride);
    const std::vector<float> product =
        on.product(weight, on.backend.prepare_strided(on.prepare_args(x, tokens, weight), kStride,
                                                      on.room(tokens * kHidden)));
    float* rows = on.room(tokens * kHidden);
    on.backend.gather_rows({.x = x, .n = tokens, .dim = kHidden, .out = rows, .x_stride = kStride});
    on.expect_equal(product, on.product(weight, on.prepare(rows, tokens, weight)), format);
  }
}

}  // namespace tq::fixtures
