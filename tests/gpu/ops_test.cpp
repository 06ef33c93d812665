// All operators but products and attention, against the CPU's portable kernels.
#include "gpu_testing.h"
#include "support/kv_formats.h"

namespace tq {
namespace {

using fixtures::cpu;
using fixtures::FormatTest;
using fixtures::OnDevice;
using fixtures::PlacedWeight;
using fixtures::random_floats;
using fixtures::relative_error;
using fixtures::same_bits;

class GpuEmbed : public FormatTest {};

TEST_P(GpuEmbed, EqualsTheCpu) {
  for (const int64_t in : {128, 704, 96, 100, 640}) {
    const PlacedWeight table(GetParam(), 37, in, 1);
    const std::vector<int32_t> ids = {0, 36, 5, 5, 17, 16, 15};
    const auto n = static_cast<int64_t>(ids.size());
    std::vector<float> expected(static_cast<size_t>(n * in));
    cpu(false).embed({table.host, ids.data(), n, 1.5f, expected.data()});
    const OnDevice<int32_t> device_ids(ids);
    const auto out = OnDevice<float>::poisoned(n * in);
    cuda::embed({table.device, device_ids.get(), n, 1.5f, out.get()}, nullptr);
    EXPECT_LT(relative_error(out.read(), expected), 1e-6) << in;
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, GpuEmbed, ::testing::ValuesIn(fixtures::formats()),
                         fixtures::format_name);

struct PrepareShape {
  int64_t in;
  int group;
};

class GpuPrepare : public ::testing::TestWithParam<PrepareShape> {
 protected:
  int64_t in_ = GetParam().in;
  int group_ = GetParam().group;
  int64_t in_padded_ = round_up(in_, group_);
  int64_t tokens_ = 21;
  std::vector<uint8_t> host_storage_ =
      std::vector<uint8_t>(static_cast<size_t>(tokens_ * in_padded_ * 8));
  OnDevice<uint8_t> device_storage_ = OnDevice<uint8_t>::poisoned(tokens_ * in_padded_ * 8);

  PrepareArgs args(const float* x, void* storage) const {
    return {x, tokens_, in_, in_padded_, group_, InputForm::kRotated, storage};
  }
  void expect_same(const Activation& device, const Activation& host, int64_t most_different) const {
    const auto n = static_cast<size_t>(tokens_ * in_padded_);
    std::vector<int8_t> q8(n);
    std::vector<float> scale(n / static_cast<size_t>(group_));
    fixtures::cuda_check(cudaMemcpy(q8.data(), device.q8, n, cudaMemcpyDeviceToHost));
    fixtures::cuda_check(cudaMemcpy(scale.data(), device.q8_scale, scale.size() * sizeof(float),
                                    cudaMemcpyDeviceToHost));
    EXPECT_LT(relative_error(scale, {host.q8_scale, host.q8_scale + scale.size()}), 1e-6);
    int64_t different = 0;
    for (size_t i = 0; i < n; ++i) {
      EXPECT_LE(std::abs(q8[i] - host.q8[i]), 1) << i;
      different += q8[i] != host.q8[i];
    }
    EXPECT_LE(different, most_different);
  }
};

TEST_P(GpuPrepare, QuantisesToTheBytesOfTheCpu) {
  const std::vector<float> x = random_floats(tokens_ * in_, 2);
  const OnDevice<float> device_x(x);
  const Activation host = cpu(false).prepare(args(x.data(), host_storage_.data()));
  expect_same(cuda::prepare(args(device_x.get(), device_storage_.get()), false, nullptr), host, 0);
}

TEST_P(GpuPrepare, RotatesExactly) {
  const std::vector<float> x = random_floats(tokens_ * in_, 3);
  const OnDevice<float> device_x(x);
  const Activation host = cpu(true).prepare(args(x.data(), host_storage_.data()));
  const Activation device =
      cuda::prepare(args(device_x.get(), device_storage_.get()), true, nullptr);
  std::vector<float> rotated(static_cast<size_t>(tokens_ * in_padded_));
  fixtures::cuda_check(cudaMemcpy(rotated.data(), device.f32, rotated.size() * sizeof(float),
                                  cudaMemcpyDeviceToHost));
  EXPECT_TRUE(same_bits(rotated, {host.f32, host.f32 + rotated.size()}));
}

TEST_P(GpuPrepare, FusesTheNorm) {
  const std::vector<float> x = random_floats(tokens_ * in_, 4);
  const std::vector<float> weight = random_floats(in_, 5);
  const OnDevice<float> device_x(x), device_weight(weight);
  std::vector<float> values(x.size());
  const int64_t few = tokens_ * in_padded_ / 200;  // roundings that the norm's own turned
  cpu(false).rms_norm({x.data(), weight.data(), 1e-6f, tokens_, in_, values.data()});
  const Activation host = cpu(false).prepare(args(values.data(), host_storage_.data()));
  const auto normed = OnDevice<float>::poisoned(tokens_ * in_);
  const PrepareArgs device_args = args(nullptr, device_storage_.get());
  const RmsNormArgs norm{device_x.get(), device_weight.get(), 1e-6f, tokens_, in_, normed.get()};
  expect_same(cuda::prepare_normed(norm, device_args, nullptr), host, few);
  EXPECT_LT(relative_error(normed.read(), values), 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Groups, GpuPrepare,
                         ::testing::Values(PrepareShape{256, 128}, PrepareShape{2816, 128},
                                           PrepareShape{704, 64}, PrepareShape{96, 32},
                                           PrepareShape{100, 128}, PrepareShape{512, 256}));

TEST(GpuRoute, EqualsTheCpu) {
  struct Case {
    int64_t tokens, n_experts, top_k, n_groups, top_groups;
    RouteScore score;
    bool bias;
  };
  for (const Case& c : std::vector<Case>{{1, 128, 8, 1, 1, RouteScore::kSoftmax, false},
                                         {16, 128, 8, 1, 1, RouteScore::kSoftmax, true},
                                         {32, 64, 4, 1, 1, RouteScore::kSigmoid, true},
                                         {64, 128, 8, 1, 1, RouteScore::kSoftmax, false},
                                         {7, 256, 8, 8, 4, RouteScore::kSigmoid, true},
                                         {3, 1000, 64, 1, 1, RouteScore::kSoftmax, false},
                                         {500, 60, 6, 4, 2, RouteScore::kSigmoid, false},
                                         {2048, 128, 8, 1, 1, RouteScore::kSoftmax, false},
                                         {5, 4, 4, 1, 1, RouteScore::kSoftmax, false}}) {
    const std::vector<float> logits = random_floats(c.tokens * c.n_experts, 6, 2.0f);
    const std::vector<float> bias = random_floats(c.n_experts, 7, 0.1f);
    const std::vector<float> scale = random_floats(c.n_experts, 8);
    const auto pairs = static_cast<size_t>(c.tokens * c.top_k);
    std::vector<int32_t> experts(pairs), numbers(pairs), tokens(pairs),
        begin(static_cast<size_t>(c.n_experts) + 1);
    std::vector<float> weights(pairs);
    RouteArgs args{
        .logits = logits.data(),
        .tokens = c.tokens,
        .n_experts = c.n_experts,
        .top_k = c.top_k,
        .score = c.score,
        .n_groups = c.n_groups,
        .top_groups = c.top_groups,
        .selection_bias = c.bias ? bias.data() : nullptr,
        .expert_scale = c.bias ? scale.data() : nullptr,
        .normalize = true,
        .scale = 2.5f,
        .out = {experts.data(), weights.data(), numbers.data(), tokens.data(), begin.data()}};
    cpu(false).route(args);
    const OnDevice<float> device_logits(logits), device_bias(bias), device_scale(scale);
    const auto device_experts = OnDevice<int32_t>::poisoned(static_cast<int64_t>(pairs));
    const auto device_numbers = OnDevice<int32_t>::poisoned(static_cast<int64_t>(pairs));
    const auto device_tokens = OnDevice<int32_t>::poisoned(static_cast<int64_t>(pairs));
    const auto device_weights = OnDevice<float>::poisoned(static_cast<int64_t>(pairs));
    const auto device_begin = OnDevice<int32_t>::poisoned(c.n_experts + 1);
    args.logits = device_logits.get();
    if (c.bias) args.selection_bias = device_bias.get(), args.expert_scale = device_scale.get();
    args.out = {device_experts.get(), device_weights.get(), device_numbers.get(),
                device_tokens.get(), device_begin.get()};
    cuda::route(args, nullptr);
    EXPECT_EQ(device_experts.read(), experts) << c.tokens << " tokens, " << c.n_experts;
    EXPECT_EQ(device_numbers.read(), numbers);
    EXPECT_EQ(device_tokens.read(), tokens);
    EXPECT_EQ(device_begin.read(), begin);
    EXPECT_LT(relative_error(device_weights.read(), weights), 1e-6);

    const int64_t dim = 300;
    const std::vector<float> y = random_floats(static_cast<int64_t>(pairs) * dim, 9);
    const std::vector<float> before = random_floats(c.tokens * dim, 10);
    const OnDevice<float> device_y(y);
    for (const bool accumulate : {true, false}) {
      std::vector<float> expected = before;
      cpu(false).combine(
          {y.data(),
           {experts.data(), weights.data(), numbers.data(), tokens.data(), begin.data()},
           c.tokens,
           c.top_k,
           dim,
           accumulate,
           expected.data()});
      const OnDevice<float> out(before);
      cuda::combine({device_y.get(), args.out, c.tokens, c.top_k, dim, accumulate, out.get()},
                    nullptr);
      EXPECT_LT(relative_error(out.read(), expected), 1e-6);
    }
  }
}

// Whatever the logits, experts are valid and distinct, and pairs a permutation.
TEST(GpuRoute, SurvivesEqualAndBrokenLogits) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const float value : {0.0f, nan, -std::numeric_limits<float>::infinity()}) {
    const std::vector<float> logits(6 * 20, value);
    const OnDevice<float> device_logits(logits);
    const auto experts = OnDevice<int32_t>::poisoned(24), numbers = OnDevice<int32_t>::poisoned(24),
               tokens = OnDevice<int32_t>::poisoned(24), begin = OnDevice<int32_t>::poisoned(21);
    const auto weights = OnDevice<float>::poisoned(24);
    cuda::route({.logits = device_logits.get(),
                 .tokens = 6,
                 .n_experts = 20,
                 .top_k = 4,
                 .score = RouteScore::kSoftmax,
                 .out = {experts.get(), weights.get(), numbers.get(), tokens.get(), begin.get()}},
                nullptr);
    const std::vector<int32_t> expected = {0, 1, 2, 3};
    const std::vector<int32_t> chosen = experts.read();
    for (size_t t = 0; t < 6; ++t) {
      EXPECT_EQ(std::vector<int32_t>(chosen.begin() + t * 4, chosen.begin() + t * 4 + 4), expected);
    }
    EXPECT_EQ(begin.read()[20], 24);
  }
}

TEST(GpuElementwise, NormsEqualTheCpu) {
  for (const auto& [rows, dim, stride] : std::vector<std::array<int64_t, 3>>{
           {1, 2816, 0}, {5, 64, 0}, {3, 7, 9}, {300, 256, 0}, {2, 512, 576}}) {
    const int64_t row = stride > 0 ? stride : dim;
    const std::vector<float> x = random_floats(rows * row, 11);
    const std::vector<float> weight = random_floats(dim, 12);
    const OnDevice<float> device_weight(weight);
    for (const bool weighted : {true, false}) {
      std::vector<float> expected = x;
      cpu(false).rms_norm({x.data(), weighted ? weight.data() : nullptr, 1e-5f, rows, dim,
                           expected.data(), stride});
      const OnDevice<float> out(x);
      cuda::rms_norm({out.get(), weighted ? device_weight.get() : nullptr, 1e-5f, rows, dim,
                      out.get(), stride},
                     nullptr);
      EXPECT_LT(relative_error(out.read(), expected), 1e-6) << rows << " " << dim;
    }
  }
}

TEST(GpuElementwise, RopeEqualsTheCpu) {
  const std::vector<int32_t> positions = {0, 1, 77, 100000, 5};
  const int64_t tokens = 5, heads = 3, pairs = 20, head_dim = 48, stride = 160;
  std::vector<float> inv_freq(pairs);
  for (int64_t j = 0; j < pairs; ++j) inv_freq[j] = std::pow(1e4f, -static_cast<float>(j) / pairs);
  inv_freq[pairs - 1] = 0;
  std::vector<float> cosines(tokens * pairs), sines(cosines.size());
  cpu(false).rope_table(
      {positions.data(), inv_freq.data(), tokens, pairs, cosines.data(), sines.data(), 1.25f});
  const OnDevice<int32_t> device_positions(positions);
  const OnDevice<float> device_freq(inv_freq);
  const auto device_cos = OnDevice<float>::poisoned(tokens * pairs);
  const auto device_sin = OnDevice<float>::poisoned(tokens * pairs);
  cuda::rope_table({device_positions.get(), device_freq.get(), tokens, pairs, device_cos.get(),
                    device_sin.get(), 1.25f},
                   nullptr);
  EXPECT_LT(relative_error(device_cos.read(), cosines), 1e-6);
  EXPECT_LT(relative_error(device_sin.read(), sines), 1e-6);
  const std::vector<float> x = random_floats(tokens * stride, 13);
  for (const bool interleaved : {true, false}) {
    std::vector<float> expected = x;
    cpu(false).rope({expected.data(), tokens, heads, head_dim, stride, pairs, interleaved,
                     cosines.data(), sines.data()});
    const OnDevice<float> out(x);
    cuda::rope({out.get(), tokens, heads, head_dim, stride, pairs, interleaved, device_cos.get(),
                device_sin.get()},
               nullptr);
    EXPECT_LT(relative_error(out.read(), expected), 1e-6);
  }
}

// The fused pass against its operators one after the other, which the tests above check.
TEST(GpuElementwise, AttentionInputsEqualTheirOperators) {
  const int64_t tokens = 5, heads = 6, kv_heads = 2, dim = 64, pairs = 24;
  const std::vector<float> q = random_floats(tokens * heads * dim, 20);
  const std::vector<float> k = random_floats(tokens * kv_heads * dim, 21);
  const std::vector<float> v = random_floats(tokens * kv_heads * dim, 22);
  const OnDevice<float> weights(random_floats(2 * dim, 23));
  const OnDevice<float> cosines(random_floats(tokens * pairs, 24)),
      sines(random_floats(tokens * pairs, 25));
  const OnDevice<int64_t> slots(std::vector<int64_t>{3, 40, 17, 0, 31});
  const int64_t plane = 3 * kv_heads * kKvBlockTokens * dim;
  for (const bool interleaved : {true, false}) {
    for (const bool norms : {true, false}) {
      const OnDevice<float> q1(q), k1(k), v1(v), q2(q), k2(k), v2(v);
      const auto k_plane1 = OnDevice<uint16_t>::poisoned(plane),
                 v_plane1 = OnDevice<uint16_t>::poisoned(plane),
                 k_plane2 = OnDevice<uint16_t>::poisoned(plane),
                 v_plane2 = OnDevice<uint16_t>::poisoned(plane);
      if (norms) {
        cuda::rms_norm({q1.get(), weights.get(), 1e-6f, tokens * heads, dim, q1.get()}, nullptr);
        cuda::rms_norm({k1.get(), weights.get() + dim, 1e-6f, tokens * kv_heads, dim, k1.get()},
                       nullptr);
        cuda::rms_norm({v1.get(), nullptr, 1e-6f, tokens * kv_heads, dim, v1.get()}, nullptr);
      }
      cuda::rope({q1.get(), tokens, heads, dim, heads * dim, pairs, interleaved, cosines.get(),
                  sines.get()},
                 nullptr);
      cuda::rope({k1.get(), tokens, kv_heads, dim, kv_heads * dim, pairs, interleaved,
                  cosines.get(), sines.get()},
                 nullptr);
      KvLayerView kv{fixtures::kKvF16, 3, kv_heads, dim, dim, k_plane1.get(), v_plane1.get()};
      cuda::kv_store({kv, slots.get(), tokens, k1.get(), v1.get()}, nullptr);
      kv.k = k_plane2.get();
      kv.v = v_plane2.get();
      cuda::attention_inputs({q2.get(), k2.get(), v2.get(), false, tokens, heads, dim, norms,
                              weights.get(), weights.get() + dim, norms, 1e-6f, pairs, interleaved,
                              cosines.get(), sines.get(), kv, slots.get()},
                             nullptr);
      EXPECT_LT(relative_error(q2.read(), q1.read()), 1e-6);
      const auto widened = [](const std::vector<uint16_t>& halves) {
        std::vector<float> out;
        for (const uint16_t half : halves) out.push_back(half == 0xffff ? 0 : f16_to_f32(half));
        return out;
      };
      EXPECT_LT(relative_error(widened(k_plane2.read()), widened(k_plane1.read())), 1e-4);
      EXPECT_LT(relative_error(widened(v_plane2.read()), widened(v_plane1.read())), 1e-4);
    }
  }
}

TEST(GpuElementwise, FlatOperatorsEqualTheCpu) {
  const int64_t n = 5003;
  const std::vector<float> a = random_floats(n, 14, 3.0f), b = random_floats(n, 15);
  const OnDevice<float> device_a(a), device_b(b);
  std::vector<float> expected(n);
  for (const Activate kind : {Activate::kSilu, Activate::kGeluTanh, Activate::kGelu}) {
    cpu(false).glu({kind, a.data(), b.data(), n, expected.data()});
    const auto out = OnDevice<float>::poisoned(n);
    cuda::glu({kind, device_a.get(), device_b.get(), n, out.get()}, nullptr);
    EXPECT_LT(relative_error(out.read(), expected), 1e-6);
  }
  cpu(false).glu_clamped({a.data(), b.data(), n, 1.702f, 2.0f, expected.data()});
  const auto clamped = OnDevice<float>::poisoned(n);
  cuda::glu_clamped({device_a.get(), device_b.get(), n, 1.702f, 2.0f, clamped.get()}, nullptr);
  EXPECT_LT(relative_error(clamped.read(), expected), 1e-6);
  cpu(false).add({a.data(), b.data(), 0.7f, n, expected.data()});
  const auto sum = OnDevice<float>::poisoned(n);
  cuda::add({device_a.get(), device_b.get(), 0.7f, n, sum.get()}, nullptr);
  EXPECT_LT(relative_error(sum.read(), expected), 1e-7);
  expected = a;
  cpu(false).softcap({expected.data(), n, 2.0f});
  const OnDevice<float> capped(a);
  cuda::softcap({capped.get(), n, 2.0f}, nullptr);
  EXPECT_LT(relative_error(capped.read(), expected), 1e-6);
}

TEST(GpuElementwise, ScalesByPosition) {
  const std::vector<int32_t> positions = {0, 15, 16, 47, 100000};
  std::vector<float> expected = random_floats(5 * 33, 17);
  const OnDevice<float> out(expected);
  const OnDevice<int32_t> device_positions(positions);
  cpu(false).scale_by_position({expected.data(), positions.data(), 5, 33, 0.3f, 16});
  cuda::scale_by_position({out.get(), device_positions.get(), 5, 33, 0.3f, 16}, nullptr);
  EXPECT_LT(relative_error(out.read(), expected), 1e-6);
}

TEST(GpuElementwise, AddsExpertBiases) {
  const std::vector<int32_t> begin = {0, 0, 3, 3, 5, 5};
  const std::vector<float> bias = random_floats(5 * 33, 18);
  std::vector<float> expected = random_floats(5 * 33, 19);
  const OnDevice<float> out(expected), device_bias(bias);
  const OnDevice<int32_t> device_begin(begin);
  cpu(false).add_expert_bias({expected.data(), bias.data(), begin.data(), 5, 5, 33});
  cuda::add_expert_bias({out.get(), device_bias.get(), device_begin.get(), 5, 5, 33}, nullptr);
  EXPECT_EQ(out.read(), expected);
}

TEST(GpuElementwise, GathersRows) {
  const std::vector<float> x = random_floats(20 * 33, 16);
  const std::vector<int32_t> rows = {19, 0, 7, 7};
  const OnDevice<float> device_x(x);
  const OnDevice<int32_t> device_rows(rows);
  for (const bool listed : {true, false}) {
    std::vector<float> expected(4 * 40, 1.0f);
    const OnDevice<float> out(expected);
    GatherRowsArgs args{
        x.data(), listed ? RowMap{rows.data()} : RowMap{nullptr, 3, 4}, 4, 30, expected.data(), 33,
        40};
    cpu(false).gather_rows(args);
    args.x = device_x.get();
    args.out = out.get();
    if (listed) args.rows = RowMap{device_rows.get()};
    cuda::gather_rows(args, nullptr);
    EXPECT_TRUE(same_bits(out.read(), expected));
  }
}

}  // namespace
}  // namespace tq
