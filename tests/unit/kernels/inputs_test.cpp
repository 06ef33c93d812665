// Embedding rows of every format, the rotation and its int8 quantisation.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <tuple>

#include "kernels/cpu/kernels.h"
#include "testing.h"

namespace tq {
namespace {

using fixtures::FormatTest;
using fixtures::random_floats;
using fixtures::TestWeight;

class Embed : public FormatTest {};

TEST_P(Embed, DecodesRowsToThePlainBasis) {
  for (const int64_t in : {32, 576, 640, 100, 700}) {
    const TestWeight table = fixtures::make_weight(format(), 9, in, 3);
    const std::vector<int32_t> ids = {8, 0, 3, 3};
    std::vector<float> out(static_cast<size_t>(4 * in + 1), -7.0f);
    const EmbedArgs args{table.view, ids.data(), 4, 2.5f, out.data()};
    const auto kernel = kernels().embed[static_cast<size_t>(format().id)];
    kernel(args, 0, 1);
    kernel(args, 1, 4);
    for (size_t t = 0; t < 4; ++t) {
      for (size_t i = 0; i < static_cast<size_t>(in); ++i) {
        const double expected =
            2.5 * table.dense[static_cast<size_t>(ids[t]) * static_cast<size_t>(in) + i];
        ASSERT_NEAR(out[t * static_cast<size_t>(in) + i], expected, 1e-6) << in << " " << i;
      }
    }
    EXPECT_EQ(out.back(), -7.0f) << "wrote past the end";
  }
}

INSTANTIATE_TEST_SUITE_P(All, Embed, ::testing::ValuesIn(fixtures::isas_and_formats()),
                         fixtures::isa_and_format_name);

struct RotateCase {
  int64_t in;
  int group;
};

class Rotate : public ::testing::TestWithParam<std::tuple<const CpuKernels*, RotateCase>> {
 protected:
  static const CpuKernels& kernels() { return *std::get<0>(GetParam()); }
  static const RotateCase& shape() { return std::get<1>(GetParam()); }
  static constexpr int64_t kTokens = 3;
  int64_t in_ = shape().in;
  int group_ = shape().group;
  int64_t in_padded_ = round_up(in_, group_);
  std::vector<float> x_ = random_floats(kTokens * in_, 5);
  std::vector<float> f32_ = std::vector<float>(static_cast<size_t>(kTokens * in_padded_));
  std::vector<int8_t> q8_ = std::vector<int8_t>(static_cast<size_t>(kTokens * in_padded_));
  std::vector<float> scale_ =
      std::vector<float>(static_cast<size_t>(kTokens * in_padded_ / group_));
  RotateArgs args_{x_.data(), in_, in_padded_, group_, f32_.data(), q8_.data(), scale_.data()};
};

TEST_P(Rotate, MatchesItsDefinition) {
  kernels().rotate(args_, 0, 1);
  kernels().rotate(args_, 1, kTokens);
  for (int64_t t = 0; t < kTokens; ++t) {
    std::vector<double> row(x_.begin() + t * in_, x_.begin() + (t + 1) * in_);
    row.resize(static_cast<size_t>(in_padded_), 0.0);
    for (int64_t g = 0; g < in_padded_; g += group_) {
      const auto expected = fixtures::rotate_reference({row.begin() + g, row.begin() + g + group_});
      for (int64_t i = 0; i < group_; ++i) {
        ASSERT_NEAR(f32_[static_cast<size_t>(t * in_padded_ + g + i)],
                    expected[static_cast<size_t>(i)], 2e-6);
      }
    }
  }
}

TEST_P(Rotate, HasTheBitsOfTheGenericKernel) {
  kernels().rotate(args_, 0, kTokens);
  kernels().rotate_quantize(args_, 0, kTokens);
  const std::vector<float> rotated = f32_;
  const std::vector<int8_t> q8 = q8_;
  const std::vector<float> scale = scale_;
  generic_kernels().rotate(args_, 0, kTokens);
  generic_kernels().rotate_quantize(args_, 0, kTokens);
  EXPECT_EQ(std::memcmp(rotated.data(), f32_.data(), f32_.size() * sizeof(float)), 0);
  EXPECT_EQ(q8, q8_);
  EXPECT_EQ(scale, scale_);
}

TEST_P(Rotate, QuantisesToTheNearestStepOfEachGroup) {
  kernels().rotate(args_, 0, kTokens);
  kernels().rotate_quantize(args_, 0, kTokens);
  const auto group = static_cast<size_t>(group_);
  for (size_t g = 0; g < scale_.size(); ++g) {
    float max = 0;
    int max_q8 = 0;
    for (size_t i = g * group; i < (g + 1) * group; ++i) {
      max = std::max(max, std::abs(f32_[i]));
      max_q8 = std::max(max_q8, std::abs(int{q8_[i]}));
      EXPECT_NEAR(static_cast<float>(q8_[i]) * scale_[g], f32_[i], scale_[g] * 0.5001f);
    }
    EXPECT_FLOAT_EQ(scale_[g], max / 127.0f);
    EXPECT_EQ(max_q8, 127);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, Rotate,
    ::testing::Combine(::testing::ValuesIn(fixtures::all_isas()),
                       ::testing::Values(RotateCase{32, 32}, RotateCase{96, 32},
                                         RotateCase{576, 64}, RotateCase{640, 128},
                                         RotateCase{100, 128}, RotateCase{300, 128},
                                         RotateCase{300, 256}, RotateCase{7, 32})),
    [](const auto& test) {
      const RotateCase& shape = std::get<1>(test.param);
      return fmt::format("{}_in{}_group{}", std::get<0>(test.param)->name, shape.in, shape.group);
    });

class RotateQuantize : public fixtures::IsaTest {};

TEST_P(RotateQuantize, ZerosStayZero) {
  const std::vector<float> x(128, 0.0f);
  std::vector<int8_t> q8(128, 5);
  float scale = -1;
  kernels().rotate_quantize({x.data(), 128, 128, 128, nullptr, q8.data(), &scale}, 0, 1);
  EXPECT_EQ(scale, 0.0f);
  EXPECT_TRUE(std::all_of(q8.begin(), q8.end(), [](int8_t q) { return q == 0; }));
}

TEST_P(RotateQuantize, NanAndInfinityShowInTheScale) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> x = random_floats(64, 6);
    x[17] = bad;
    std::vector<int8_t> q8(64, 5);
    float scale = 0;
    kernels().rotate_quantize({x.data(), 64, 64, 64, nullptr, q8.data(), &scale}, 0, 1);
    EXPECT_FALSE(std::isfinite(scale));
    EXPECT_EQ(q8, std::vector<int8_t>(64)) << "products must not depend on which kernel has them";
  }
}

INSTANTIATE_TEST_SUITE_P(All, RotateQuantize, ::testing::ValuesIn(fixtures::all_isas()),
                         fixtures::isa_name);

}  // namespace
}  // namespace tq
