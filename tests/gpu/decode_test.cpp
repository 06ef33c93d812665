// The kernels that do the work of several operators, against those operators one after the other.
#include <algorithm>
#include <array>

#include "gpu_testing.h"
#include "support/kv_formats.h"

namespace tq {
namespace {

using cuda::Tier;
using fixtures::cpu;
using fixtures::FormatTest;
using fixtures::OnDevice;
using fixtures::PlacedWeight;
using fixtures::random_floats;
using fixtures::RandomStack;
using fixtures::relative_error;
using fixtures::same_bits;

template <typename T>
std::vector<T> copy_of(const T* device, int64_t n) {
  std::vector<T> host(static_cast<size_t>(n));
  fixtures::cuda_check(
      cudaMemcpy(host.data(), device, host.size() * sizeof(T), cudaMemcpyDeviceToHost));
  return host;
}

// Routing arrays on the GPU.
struct DeviceRouting {
  OnDevice<int32_t> experts, pairs, tokens, begin;
  OnDevice<float> weights;
  DeviceRouting(int64_t n_pairs, int64_t n_experts)
      : experts(OnDevice<int32_t>::poisoned(n_pairs)),
        pairs(OnDevice<int32_t>::poisoned(n_pairs)),
        tokens(OnDevice<int32_t>::poisoned(n_pairs)),
        begin(OnDevice<int32_t>::poisoned(n_experts + 1)),
        weights(OnDevice<float>::poisoned(n_pairs)) {}
  Routing get() const {
    return {experts.get(), weights.get(), pairs.get(), tokens.get(), begin.get()};
  }
};

struct NextInputsShape {
  int64_t dim;
  int group;
  int n_results;
  bool combined;  // result 0
  bool normed[2];
  bool sum_normed;
};

class GpuNextInputs : public ::testing::TestWithParam<NextInputsShape> {
 protected:
  static constexpr int64_t kTokens = 13;
  static constexpr int64_t kTopK = 3;
  static constexpr float kEps = 1e-5f;
  static constexpr float kScale = 0.7f;
  const NextInputsShape& s_ = GetParam();
  int64_t dim_ = s_.dim;
  int64_t in_padded_ = round_up(dim_, s_.group);
  std::vector<float> residual_ = random_floats(kTokens * dim_, 1);
  std::vector<float> experts_ = random_floats(kTokens * kTopK * dim_, 2);
  std::vector<float> rows_ = random_floats(kTokens * dim_, 3);
  std::vector<float> weights_ = random_floats(6 * dim_, 4);
  std::vector<float> choice_weights_ = random_floats(kTokens * kTopK, 5);
  std::vector<int32_t> pairs_;

  void SetUp() override {
    for (int32_t i = 0; i < kTokens * kTopK; ++i) pairs_.push_back(i * 7 % (kTokens * kTopK));
  }
  const float* weight(int i) const { return weights_.data() + i * dim_; }

  void norm(const float* weight, std::vector<float>& x) const {
    cpu(false).rms_norm({x.data(), weight, kEps, kTokens, dim_, x.data()});
  }
  // What the residual becomes, by the CPU's operators.
  std::vector<float> expected_residual() const {
    if (s_.n_results == 0) return residual_;
    std::vector<float> sum(rows_.size());
    for (int i = 0; i < s_.n_results; ++i) {
      std::vector<float> result = rows_;
      if (i == 0 && s_.combined) {
        Routing routing = {};
        routing.pairs = const_cast<int32_t*>(pairs_.data());
        routing.weights = const_cast<float*>(choice_weights_.data());
        cpu(false).combine({experts_.data(), routing, kTokens, kTopK, dim_, false, result.data()});
      }
      if (s_.normed[i]) norm(weight(i), result);
      for (size_t k = 0; k < sum.size(); ++k) sum[k] += result[k];
    }
    if (s_.sum_normed) norm(weight(2), sum);
    for (size_t k = 0; k < sum.size(); ++k) sum[k] = (sum[k] + residual_[k]) * kScale;
    return sum;
  }
};

TEST_P(GpuNextInputs, EqualsItsOperators) {
  const OnDevice<float> residual(residual_), experts(experts_), rows(rows_), weights(weights_),
      choice_weights(choice_weights_);
  const OnDevice<int32_t> pairs(pairs_);
  const int64_t n = kTokens * dim_;
  const auto out0 = OnDevice<float>::poisoned(n), out1 = OnDevice<float>::poisoned(n);
  const auto bytes = static_cast<int64_t>(
      cuda::activation_bytes(kTokens, in_padded_, s_.group, InputForm::kRotated, /*exact=*/false));
  const auto storage0 = OnDevice<uint8_t>::poisoned(bytes);
  const auto storage2 = OnDevice<uint8_t>::poisoned(bytes);
  const auto prepare = [&](InputForm form, int64_t in_padded, void* storage) {
    return PrepareArgs{nullptr, kTokens, dim_, in_padded, s_.group, form, storage};
  };
  std::array<NormedInput, 3> inputs{
      {{weights.get() + 3 * dim_,
        out0.get(),
        prepare(InputForm::kRotated, in_padded_, storage0.get()),
        {}},
       {weights.get() + 4 * dim_, out1.get(), prepare(InputForm::kPlain, dim_, nullptr), {}},
       {weights.get() + 5 * dim_,
        nullptr,
        prepare(InputForm::kRotated, in_padded_, storage2.get()),
        {}}}};
  NextInputsArgs args{{.n_results = s_.n_results,
                       .norm_weight = s_.sum_normed ? weights.get() + 2 * dim_ : nullptr,
                       .eps = kEps,
                       .scale = kScale,
                       .tokens = kTokens,
                       .dim = dim_,
                       .residual = residual.get(),
                       .scratch = nullptr},
                      inputs.data(),
                      3};
  BlockResult* results = args.add.results;
  for (int i = 0; i < s_.n_results; ++i) {
    results[i].x = rows.get();
    if (s_.normed[i]) results[i].norm_weight = weights.get() + i * dim_;
  }
  if (s_.combined) {
    results[0].x = experts.get();
    results[0].top_k = kTopK;
    results[0].routing.pairs = pairs.get();
    results[0].routing.weights = choice_weights.get();
  }
  ASSERT_TRUE(cuda::supports_next_inputs(args));
  cuda::next_inputs(args, nullptr);
  const auto x = [&](int i) { return inputs[static_cast<size_t>(i)].activation; };

  const std::vector<float> expected = expected_residual();
  const std::vector<float> got = residual.read();
  EXPECT_LT(relative_error(got, expected), 1e-6);
  for (const auto& [out, w] : {std::pair{&out0, 3}, std::pair{&out1, 4}}) {
    std::vector<float> normed = expected;
    norm(weight(w), normed);
    EXPECT_LT(relative_error(out->read(), normed), 1e-6);
  }
  EXPECT_EQ(x(1).form, InputForm::kPlain);
  EXPECT_EQ(x(1).f32, out1.get());
  // Prepared outputs: those of prepare_normed() of the same residual, which a test of its own
  // covers.
  const auto alone = OnDevice<uint8_t>::poisoned(bytes);
  for (const int i : {0, 2}) {
    const Activation same = cuda::prepare_normed(
        {residual.get(), weights.get() + (3 + i) * dim_, kEps, kTokens, dim_, nullptr},
        {nullptr, kTokens, dim_, in_padded_, s_.group, InputForm::kRotated, alone.get()}, nullptr);
    EXPECT_TRUE(
        same_bits(copy_of(x(i).q8, kTokens * in_padded_), copy_of(same.q8, kTokens * in_padded_)));
    EXPECT_TRUE(same_bits(copy_of(x(i).q8_scale, kTokens * in_padded_ / s_.group),
                          copy_of(same.q8_scale, kTokens * in_padded_ / s_.group)));
  }
  // A token alone.
  const int64_t last = kTokens - 1;
  const OnDevice<float> one(std::vector<float>(residual_.end() - dim_, residual_.end()));
  args.add.residual = one.get();
  args.add.tokens = 1;
  for (NormedInput& input : inputs) input.prepare.tokens = 1;
  for (int i = 0; i < s_.n_results; ++i) results[i].x = rows.get() + last * dim_;
  if (s_.combined) {
    results[0].x = experts.get();
    results[0].routing.pairs = pairs.get() + last * kTopK;
    results[0].routing.weights = choice_weights.get() + last * kTopK;
  }
  cuda::next_inputs(args, nullptr);
  EXPECT_TRUE(same_bits(one.read(), {got.end() - dim_, got.end()}));
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, GpuNextInputs,
    ::testing::Values(NextInputsShape{2816, 128, 2, true, {true, true}, true},
                      NextInputsShape{704, 64, 2, true, {false, false}, false},
                      NextInputsShape{100, 128, 1, false, {true, false}, false},
                      NextInputsShape{2048, 64, 1, true, {false, false}, true},
                      NextInputsShape{4096, 128, 0, false, {false, false}, false},
                      NextInputsShape{384, 128, 2, false, {false, true}, false}));

struct RouterShape {
  const char* format;
  int64_t n_experts, in, top_k;
};

class GpuRouter : public ::testing::TestWithParam<RouterShape> {};

TEST_P(GpuRouter, EqualsProductAndRoute) {
  const RouterShape& s = GetParam();
  const PlacedWeight weight(*find_format(s.format), s.n_experts, s.in, 1);
  const OnDevice<float> bias(random_floats(s.n_experts, 2));
  const OnDevice<float> scale(random_floats(s.n_experts, 3));
  const std::vector<uint32_t> zeros(static_cast<size_t>(cuda::router_counters()));
  const OnDevice<uint32_t> counters(zeros);
  for (const int64_t tokens : {1, 3, 8, 1, 9, 32, 2}) {  // with the same counters
    const OnDevice<float> x(random_floats(tokens * s.in, 4));
    const int64_t pairs = tokens * s.top_k;
    const auto logits = OnDevice<float>::poisoned(tokens * s.n_experts);
    const auto fused_logits = OnDevice<float>::poisoned(tokens * s.n_experts);
    const DeviceRouting expected(pairs, s.n_experts), got(pairs, s.n_experts);
    Activation plain;
    plain.tokens = tokens;
    plain.in = plain.in_padded = s.in;
    plain.f32 = x.get();
    const bool biased = tokens == 3;
    cuda::matmul({.weight = weight.device,
                  .x = plain,
                  .bias = biased ? bias.get() : nullptr,
                  .out = logits.get()},
                 Tier::kAuto, nullptr);
    RouteArgs route{.logits = logits.get(),
                    .tokens = tokens,
                    .n_experts = s.n_experts,
                    .top_k = s.top_k,
                    .score = biased ? RouteScore::kSigmoid : RouteScore::kSoftmax,
                    .selection_bias = biased ? bias.get() : nullptr,
                    .expert_scale = scale.get(),
                    .out = expected.get()};
    cuda::route(route, nullptr);
    route.logits = nullptr;
    route.out = got.get();
    const RouterArgs args{weight.device, plain, biased ? bias.get() : nullptr, fused_logits.get(),
                          route};
    ASSERT_TRUE(cuda::supports_router(args));
    cuda::route_tokens(args, counters.get(), nullptr);
    // What is chosen and its weights are functions of all logits' bits.
    EXPECT_EQ(got.experts.read(), expected.experts.read());
    EXPECT_EQ(got.pairs.read(), expected.pairs.read());
    EXPECT_EQ(got.tokens.read(), expected.tokens.read());
    EXPECT_EQ(got.begin.read(), expected.begin.read());
    EXPECT_TRUE(same_bits(got.weights.read(), expected.weights.read()));
    EXPECT_EQ(counters.read(), zeros);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, GpuRouter,
                         ::testing::Values(RouterShape{"bf16", 128, 2816, 8},
                                           RouterShape{"f32", 64, 2048, 4},
                                           RouterShape{"f16", 7, 104, 2},
                                           RouterShape{"bf16", 250, 4096, 16},
                                           RouterShape{"f32", 30, 4096, 1}));

TEST(GpuLatentInputs, EqualTheirOperators) {
  const int64_t tokens = 5, heads = 3, rank = 64, nope = 24, pairs = 8, rope = 2 * pairs;
  const int64_t key = rank + rope;
  const std::vector<float> latent = random_floats(tokens * key, 1);
  const std::vector<float> q = random_floats(tokens * heads * (nope + rope), 2);
  const OnDevice<float> norm(random_floats(rank, 3)), device_q(q), before(latent);
  const OnDevice<float> cosines(random_floats(tokens * pairs, 4)),
      sines(random_floats(tokens * pairs, 5));
  const OnDevice<int64_t> slots(std::vector<int64_t>{3, 40, 17, 0, 31});
  for (const bool interleaved : {true, false}) {
    const std::vector<float> untouched(static_cast<size_t>(tokens * heads * key), 7.0f);
    const OnDevice<float> x(latent), expected_query(untouched), query(untouched);
    const auto expected_plane = OnDevice<float>::poisoned(3 * kKvBlockTokens * key);
    const auto plane = OnDevice<float>::poisoned(3 * kKvBlockTokens * key);
    KvLayerView kv{fixtures::kKvF32, 3, 1, key, rank, expected_plane.get(), nullptr};
    cuda::rms_norm({x.get(), norm.get(), 1e-6f, tokens, rank, x.get(), key}, nullptr);
    const auto rotate = [&](float* first, int64_t n_heads, int64_t stride) {
      cuda::rope({first, tokens, n_heads, stride, n_heads * stride, pairs, interleaved,
                  cosines.get(), sines.get()},
                 nullptr);
    };
    rotate(x.get() + rank, 1, key);
    cuda::kv_store({kv, slots.get(), tokens, x.get(), nullptr}, nullptr);
    cuda::gather_rows({.x = device_q.get() + nope,
                       .n = tokens * heads,
                       .dim = rope,
                       .out = expected_query.get() + rank,
                       .x_stride = nope + rope,
                       .out_stride = key},
                      nullptr);
    rotate(expected_query.get() + rank, heads, key);
    kv.k = plane.get();
    cuda::latent_inputs(
        {before.get(), norm.get(), 1e-6f, device_q.get(), nope, query.get(), tokens, heads, rank,
         pairs, interleaved, cosines.get(), sines.get(), kv, slots.get()},
        nullptr);
    EXPECT_LT(relative_error(query.read(), expected_query.read()), 1e-6);
    std::vector<float> got = plane.read(), expected = expected_plane.read();
    ASSERT_EQ(got.size(), expected.size());
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_EQ(std::isnan(got[i]), std::isnan(expected[i])) << i;  // a slot that nothing went to
      if (std::isnan(got[i])) got[i] = expected[i] = 0;
    }
    EXPECT_LT(relative_error(got, expected), 1e-6);
  }
}

class GpuStrided : public FormatTest {};

TEST_P(GpuStrided, RowsThatLieApartGiveTheSameBits) {
  const int64_t heads = 5, in = 192, stride = 256, rows = 40;
  const RandomStack stack(GetParam(), heads, rows, in, 1);
  const WeightView& matrix = stack.weights[0]->host;
  for (const int64_t tokens : {1, 8, 30}) {
    const OnDevice<float> x(random_floats(tokens * heads * stride, 2));
    const auto gathered = OnDevice<float>::poisoned(tokens * heads * in);
    const auto storage = OnDevice<uint8_t>::poisoned(tokens * heads * in * 8);
    const auto expected = OnDevice<float>::poisoned(tokens * heads * rows);
    const auto got = OnDevice<float>::poisoned(tokens * heads * rows);
    cuda::gather_rows(
        {.x = x.get(), .n = tokens * heads, .dim = in, .out = gathered.get(), .x_stride = stride},
        nullptr);
    PrepareArgs prepare{gathered.get(), tokens * heads,   in,           matrix.in_padded,
                        matrix.group,   GetParam().input, storage.get()};
    HeadMatmulArgs args{.weights = stack.device(),
                        .x = cuda::prepare(prepare, false, nullptr),
                        .out = expected.get()};
    cuda::matmul_heads(args, Tier::kAuto, nullptr);
    args.out = got.get();
    prepare.x = x.get();
    args.x = cuda::prepare_strided(prepare, stride, false, nullptr);
    cuda::matmul_heads(args, Tier::kAuto, nullptr);
    EXPECT_TRUE(same_bits(got.read(), expected.read())) << tokens;
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, GpuStrided, ::testing::ValuesIn(fixtures::formats()),
                         fixtures::format_name);

}  // namespace
}  // namespace tq
