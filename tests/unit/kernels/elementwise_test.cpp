// Norms, rotary embedding, activations and copies against double precision, and vector_math.h.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/vector_math.h"
#include "testing.h"

namespace tq {
namespace {

using fixtures::random_floats;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(VectorMath, ExpIsAccurateEverywhere) {
  for (double x = -87.3; x < 88.3; x += 0.00731) {
    const auto argument = static_cast<float>(x);
    const double expected = std::exp(double{argument});
    ASSERT_NEAR(fast_exp(argument) / expected, 1.0, 2.5e-7) << argument;
  }
  EXPECT_EQ(fast_exp(0.0f), 1.0f);
  EXPECT_EQ(fast_exp(-100.0f), 0.0f);
  EXPECT_EQ(fast_exp(-kInfinity), 0.0f);
  EXPECT_GT(fast_exp(kInfinity), 1e38f);
  EXPECT_TRUE(std::isnan(fast_exp(kNan)));
}

TEST(VectorMath, TanhIsAccurateEverywhere) {
  for (double x = -12; x < 12; x += 0.00093) {
    const auto argument = static_cast<float>(x);
    const double expected = std::tanh(double{argument});
    ASSERT_NEAR(fast_tanh(argument), expected, 3.5e-7 * std::abs(expected)) << argument;
  }
  EXPECT_EQ(fast_tanh(0.0f), 0.0f);
  EXPECT_EQ(fast_tanh(kInfinity), 1.0f);
  EXPECT_EQ(fast_tanh(-kInfinity), -1.0f);
  EXPECT_TRUE(std::isnan(fast_tanh(kNan)));
}

TEST(VectorMath, RoundsToNearestEven) {
  EXPECT_EQ(round_to_int(2.5f), 2);
  EXPECT_EQ(round_to_int(3.5f), 4);
  EXPECT_EQ(round_to_int(-126.6f), -127);
  EXPECT_EQ(round_to_int(-0.5f), 0);
}

TEST(VectorMath, DotDoesNotDependOnTheRowsBesideIt) {
  const std::vector<float> w = random_floats(4 * 41, 1);
  const std::vector<float> x = random_floats(41, 2);
  for (const int64_t n : {0, 1, 7, 8, 9, 40, 41}) {
    const auto four = dot_rows<4>(w.data(), 41, x.data(), n);
    for (int64_t r = 0; r < 4; ++r) {
      const auto one = dot_rows<1>(w.data() + r * 41, 41, x.data(), n);
      EXPECT_EQ(four[static_cast<size_t>(r)], one[0]);
      double expected = 0;
      for (int64_t i = 0; i < n; ++i) {
        expected += double{w[static_cast<size_t>(r * 41 + i)]} * double{x[static_cast<size_t>(i)]};
      }
      EXPECT_NEAR(one[0], expected, 1e-5);
    }
  }
}

class Elementwise : public fixtures::IsaTest {
 protected:
  static void check_rope(bool interleaved);
  static void check_glu(Activate activate, double (*reference)(double));
};

TEST_P(Elementwise, RmsNormMatchesDoublePrecision) {
  for (const int64_t dim : {1, 7, 8, 64, 577}) {
    const std::vector<float> x = random_floats(3 * dim, 3, 4.0f);
    const std::vector<float> weight = random_floats(dim, 4);
    for (const float* w : {weight.data(), static_cast<const float*>(nullptr)}) {
      std::vector<float> out = x;  // in place
      const RmsNormArgs args{out.data(), w, 1e-5f, 3, dim, out.data()};
      kernels().rms_norm(args, 0, 1);
      kernels().rms_norm(args, 1, 3);
      for (int64_t i = 0; i < 3 * dim; ++i) {
        const int64_t row = i / dim * dim;
        double sum = 0;
        for (int64_t k = row; k < row + dim; ++k) {
          sum += double{x[static_cast<size_t>(k)]} * double{x[static_cast<size_t>(k)]};
        }
        const double factor = w == nullptr ? 1 : double{w[i % dim]};
        const double expected = double{x[static_cast<size_t>(i)]} /
                                std::sqrt(sum / static_cast<double>(dim) + 1e-5) * factor;
        EXPECT_NEAR(out[static_cast<size_t>(i)], expected, 1e-6 * (1 + std::abs(expected)));
      }
    }
  }
}

TEST_P(Elementwise, RmsNormEpsilonIsInsideTheRoot) {
  const std::vector<float> x = {1e-4f, -1e-4f};
  std::vector<float> out(2);
  kernels().rms_norm({x.data(), nullptr, 1e-6f, 1, 2, out.data()}, 0, 1);
  EXPECT_NEAR(out[0], 1e-4 / std::sqrt(1e-8 + 1e-6), 1e-6);
  const std::vector<float> zeros(2, 0.0f);
  kernels().rms_norm({zeros.data(), nullptr, 1e-6f, 1, 2, out.data()}, 0, 1);
  EXPECT_EQ(out[0], 0.0f);
}

// Rotates heads 1 and 2 of tokens laid out [head, other | head, other], 6 of 8 dims.
void Elementwise::check_rope(bool interleaved) {
  const std::vector<int32_t> positions = {0, 5, 100000};
  const std::vector<float> inv_freq = {1.0f, 0.01f, 0.0f};
  std::vector<float> cos(9);
  std::vector<float> sin(9);
  const float scale = 1.25f;
  const RopeTableArgs table{positions.data(), inv_freq.data(), 3, 3, cos.data(), sin.data(), scale};
  kernels().rope_table(table, 0, 2);
  kernels().rope_table(table, 2, 3);
  constexpr int64_t kStride = 20;  // two heads of 8 and 4 floats that are none of rope's business
  const std::vector<float> x = random_floats(3 * kStride, 5);
  std::vector<float> out = x;
  const RopeArgs args{out.data(), 3, 2, 8, kStride, 3, interleaved, cos.data(), sin.data()};
  kernels().rope(args, 0, 1);
  kernels().rope(args, 1, 3);
  std::vector<double> expected(x.begin(), x.end());
  for (size_t t = 0; t < 3; ++t) {
    for (size_t h = 0; h < 2; ++h) {
      for (size_t j = 0; j < 3; ++j) {
        const double angle = double{inv_freq[j]} * positions[t];
        const size_t head = t * kStride + h * 8;
        const size_t a = head + (interleaved ? 2 * j : j);
        const size_t b = head + (interleaved ? 2 * j + 1 : j + 3);
        const double c = double{scale} * std::cos(angle);
        const double s = double{scale} * std::sin(angle);
        expected[a] = double{x[a]} * c - double{x[b]} * s;
        expected[b] = double{x[b]} * c + double{x[a]} * s;
      }
    }
  }
  for (size_t i = 0; i < out.size(); ++i) EXPECT_NEAR(out[i], expected[i], 1e-6) << i;
}

TEST_P(Elementwise, RopeRotatesHalves) { check_rope(false); }
TEST_P(Elementwise, RopeRotatesNeighbours) { check_rope(true); }

void Elementwise::check_glu(Activate activate, double (*reference)(double)) {
  std::vector<float> gate = random_floats(1000, 6, 3.0f);
  gate.insert(gate.end(), {0.0f, -0.0f, 50.0f, -50.0f, -200.0f, 200.0f, -5.0f, -9.0f});
  const std::vector<float> up = random_floats(static_cast<int64_t>(gate.size()), 7);
  const auto n = static_cast<int64_t>(gate.size());
  std::vector<float> out = gate;  // in place
  const GluArgs args{activate, out.data(), up.data(), n, out.data()};
  const auto kernel = kernels().glu[static_cast<size_t>(activate)];
  kernel(args, 0, 17);
  kernel(args, 17, n);
  for (size_t i = 0; i < gate.size(); ++i) {
    const double expected = reference(double{gate[i]}) * double{up[i]};
    EXPECT_NEAR(out[i], expected, 1e-6 * std::abs(expected) + 1e-9) << gate[i];
  }
}

TEST_P(Elementwise, GluSilu) {
  check_glu(Activate::kSilu, [](double x) { return x / (1 + std::exp(-x)); });
}
TEST_P(Elementwise, GluGeluTanh) {
  check_glu(Activate::kGeluTanh, [](double x) {
    const double u = std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
    // 1 + tanh(u), without cancellation.
    return 0.5 * x * 2 / (1 + std::exp(-2 * u));
  });
}
TEST_P(Elementwise, GluGelu) {
  check_glu(Activate::kGelu, [](double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); });
}

TEST_P(Elementwise, GluClamped) {
  std::vector<float> gate = random_floats(1000, 6, 3.0f);
  gate.insert(gate.end(), {0.0f, -0.0f, 50.0f, -50.0f, 7.0f, NAN, 1.0f});
  std::vector<float> up = random_floats(static_cast<int64_t>(gate.size()), 7, 6.0f);
  up.back() = NAN;
  const auto n = static_cast<int64_t>(gate.size());
  std::vector<float> out = gate;  // in place
  const ClampedGluArgs args{out.data(), up.data(), n, 1.702f, 4.0f, out.data()};
  kernels().glu_clamped(args, 0, 17);
  kernels().glu_clamped(args, 17, n);
  for (size_t i = 0; i < gate.size(); ++i) {
    if (std::isnan(gate[i]) || std::isnan(up[i])) {
      EXPECT_TRUE(std::isnan(out[i])) << i;
      continue;
    }
    const double g = std::min(double{gate[i]}, 4.0);
    const double u = std::clamp(double{up[i]}, -4.0, 4.0);
    const double expected = (u + 1) * g / (1 + std::exp(-double{1.702f} * g));
    EXPECT_NEAR(out[i], expected, 1e-6 * (1 + std::abs(expected))) << gate[i];
  }
}

TEST_P(Elementwise, ScaleByPosition) {
  const std::vector<int32_t> positions = {0, 15, 16, 47, 100000};
  const std::vector<float> x = random_floats(5 * 7, 3);
  std::vector<float> out = x;
  const ScaleByPositionArgs args{out.data(), positions.data(), 5, 7, 0.3f, 16};
  kernels().scale_by_position(args, 0, 2);
  kernels().scale_by_position(args, 2, 5);
  for (size_t i = 0; i < out.size(); ++i) {
    const double spans = positions[i / 7] / 16;
    const double expected = double{x[i]} * (1 + double{0.3f} * std::log(1 + spans));
    EXPECT_NEAR(out[i], expected, 1e-6 * std::abs(expected)) << i;
    if (positions[i / 7] < 16) {
      EXPECT_EQ(out[i], x[i]);
    }
  }
}

TEST_P(Elementwise, ExpertBiases) {
  const std::vector<int32_t> begin = {0, 0, 3, 3, 5};  // of 4 experts, of which 0 and 2 are idle
  const std::vector<float> bias = random_floats(4 * 6, 4);
  const std::vector<float> x = random_floats(5 * 6, 5);
  std::vector<float> out = x;
  const ExpertBiasArgs args{out.data(), bias.data(), begin.data(), 4, 5, 6};
  kernels().add_expert_bias(args, 0, 2);
  kernels().add_expert_bias(args, 2, 5);
  for (size_t i = 0; i < out.size(); ++i) {
    EXPECT_EQ(out[i], x[i] + bias[(i / 6 < 3 ? 1 : 3) * 6 + i % 6]) << i;
  }
}

TEST_P(Elementwise, AddAddsAndScalesInPlace) {
  std::vector<float> a = {1, 2, 3, 4, 5};
  const std::vector<float> b = {10, 20, 30, 40, 50};
  kernels().add({a.data(), b.data(), 0.5f, 5, a.data()}, 1, 4);
  EXPECT_EQ(a, (std::vector<float>{1, 11, 16.5f, 22, 5}));
}

TEST_P(Elementwise, CombineAddsWeightedRows) {
  constexpr int64_t kTokens = 3;
  constexpr int64_t kTopK = 2;
  for (const int64_t dim : {1, 8, 37}) {
    const std::vector<float> y = random_floats(kTokens * kTopK * dim, 8);
    std::vector<float> weights = random_floats(kTokens * kTopK, 9);
    std::vector<int32_t> pairs = {4, 1, 0, 5, 3, 2};
    const std::vector<float> before = random_floats(kTokens * dim, 10);
    for (const bool accumulate : {false, true}) {
      std::vector<float> out = before;
      CombineArgs args{y.data(), {}, kTokens, kTopK, dim, accumulate, out.data()};
      args.routing.weights = weights.data();
      args.routing.pairs = pairs.data();
      kernels().combine(args, 0, 1);
      kernels().combine(args, 1, kTokens);
      for (int64_t i = 0; i < kTokens * dim; ++i) {
        double expected = accumulate ? before[static_cast<size_t>(i)] : 0;
        for (int64_t k = i / dim * kTopK; k < (i / dim + 1) * kTopK; ++k) {
          const auto pair = static_cast<size_t>(k);
          expected += double{weights[pair]} * y[static_cast<size_t>(pairs[pair] * dim + i % dim)];
        }
        EXPECT_NEAR(out[static_cast<size_t>(i)], expected, 1e-6);
      }
    }
  }
}

TEST_P(Elementwise, SoftcapBoundsValues) {
  std::vector<float> x = {0, 0.5f, -3, 29, -1000, 7};
  const std::vector<float> before = x;
  kernels().softcap({x.data(), 6, 30}, 0, 5);
  for (size_t i = 0; i < 5; ++i) EXPECT_NEAR(x[i], 30 * std::tanh(before[i] / 30.0), 1e-5);
  EXPECT_EQ(x[5], 7.0f);
}

TEST_P(Elementwise, GatherRowsCopiesRows) {
  const std::vector<float> x = {0, 1, 2, 3, 4, 5, 6, 7};
  const std::vector<int32_t> rows = {3, 0, 3};
  std::vector<float> out(6, -1.0f);
  kernels().gather_rows({x.data(), {rows.data()}, 3, 2, out.data()}, 0, 2);
  EXPECT_EQ(out, (std::vector<float>{6, 7, 0, 1, -1, -1}));

  constexpr int64_t kWide = 71;  // several vectors and a rest
  const std::vector<float> wide = random_floats(4 * kWide, 1);
  std::vector<float> copied(3 * kWide + 1, -1.0f);
  kernels().gather_rows({wide.data(), {rows.data()}, 3, kWide, copied.data()}, 0, 3);
  for (int64_t i = 0; i < 3 * kWide; ++i) {
    const int64_t row = rows[static_cast<size_t>(i / kWide)];
    EXPECT_EQ(copied[static_cast<size_t>(i)], wide[static_cast<size_t>(row * kWide + i % kWide)]);
  }
  EXPECT_EQ(copied.back(), -1.0f);
}

INSTANTIATE_TEST_SUITE_P(All, Elementwise, ::testing::ValuesIn(fixtures::all_isas()),
                         fixtures::isa_name);

}  // namespace
}  // namespace tq
