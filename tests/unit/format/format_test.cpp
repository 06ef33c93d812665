// What every format in THE LIST must do. A new format is tested by being in the list.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/error.h"
#include "format/formats.h"
#include "unit/format/test_rows.h"

namespace tq {
namespace {

using ::testing::Each;

template <typename List>
struct TypesOf;
template <typename... Formats>
struct TypesOf<FormatList<Formats...>> {
  using Type = ::testing::Types<Formats...>;
};

struct FormatName {
  template <typename F>
  static std::string GetName(int) {
    return std::string(F::kName);
  }
};

template <typename F>
class EveryFormat : public ::testing::Test {
 protected:
  const FormatTraits& format_ = format_traits(format_id<F>());
};
TYPED_TEST_SUITE(EveryFormat, TypesOf<AllFormats>::Type, FormatName);

constexpr Effort kEfforts[] = {Effort::kReference, Effort::kFast, Effort::kDefault, Effort::kBest};

TYPED_TEST(EveryFormat, IsFoundByItsName) {
  EXPECT_EQ(this->format_.name, TypeParam::kName);
  EXPECT_EQ(this->format_.id, format_id<TypeParam>());
  EXPECT_EQ(find_format(TypeParam::kName), &this->format_);
  EXPECT_EQ(this->format_.bits, TypeParam::kBits);
  EXPECT_EQ(this->format_.has_scales, TypeParam::kHasScales);
}

TYPED_TEST(EveryFormat, CodesTakeTheirBits) {
  for (const int64_t in : {32, 64, 96, 128, 704, 2112, 8192}) {
    EXPECT_EQ(this->format_.code_row_bytes(in) * 8, in * this->format_.bits) << in;
  }
}

// The statistics an encoder reports are the error of what is stored, at every shape and effort.
TYPED_TEST(EveryFormat, ReportsTheErrorOfWhatItStored) {
  for (const int64_t in : {32, 64, 96, 128, 160, 576, 704, 2112}) {
    const auto x = gaussian_row(in, static_cast<unsigned>(in));
    const int group = default_group(in);
    for (const Effort effort : kEfforts) {
      SCOPED_TRACE(fmt::format("in={} effort={}", in, static_cast<int>(effort)));
      const EncodedRow row = encode(this->format_, x, group, {effort});
      const double measured = relative_error(x, decode(this->format_, row, in, group));
      // kReference reports the error with its fp32 gains; 16 bits change that by about 1e-7.
      const double slack = effort == Effort::kReference ? 2e-7 : 1e-11;
      EXPECT_NEAR(row.stats.rel_mse(), measured, slack + 1e-3 * measured);
      // Six times the rate-distortion bound is far from any working coder.
      EXPECT_LT(measured, 6 * std::pow(4.0, -std::min(TypeParam::kBits, 9)));
    }
  }
}

TYPED_TEST(EveryFormat, ZerosStayZeros) {
  for (const Effort effort : kEfforts) {
    const std::vector<float> zeros(192, 0.0f);
    const EncodedRow row = encode(this->format_, zeros, 64, {effort});
    EXPECT_THAT(decode(this->format_, row, 192, 64), Each(0.0f));
    EXPECT_EQ(row.stats.squared_error, 0);
    EXPECT_EQ(row.stats.rel_mse(), 0);
  }
}

TYPED_TEST(EveryFormat, ASpikeSurvives) {
  for (const Effort effort : kEfforts) {
    std::vector<float> x(128, 0.0f);
    x[77] = -3.5f;
    const auto decoded =
        decode(this->format_, encode(this->format_, x, 128, {effort, 0}), 128, 128);
    // Rotated, it is flat: one centroid fits. A trellis has no two values for all signs.
    EXPECT_LT(relative_error(x, decoded), kIsTrellisCodec<TypeParam> ? 0.03 : 1e-6);
  }
}

TYPED_TEST(EveryFormat, TinyValuesDecodeToFiniteOnes) {
  for (const float value : {1e-20f, 1e-30f, 1e-38f, std::numeric_limits<float>::denorm_min()}) {
    for (const Effort effort : kEfforts) {
      std::vector<float> x(64, value);
      x[3] = -value;
      const EncodedRow row = encode(this->format_, x, 64, {effort});
      EXPECT_TRUE(std::all_of(row.gains.begin(), row.gains.end(),
                              [](float gain) { return std::isfinite(gain) && gain >= 0; }));
      EXPECT_EQ(find_non_finite(decode(this->format_, row, 64, 64).data(), 64), -1);
      EXPECT_TRUE(std::isfinite(row.stats.squared_error));
    }
  }
}

// Weights beyond a format's range are refused where gains are stored, never stored as nonsense.
TYPED_TEST(EveryFormat, HugeValuesAreStoredOrRefused) {
  for (const float value : {1e4f, 1e5f, 1e20f, 1e30f, std::numeric_limits<float>::max()}) {
    for (const Effort effort : kEfforts) {
      std::vector<float> x(64, value);
      x[3] = -value;
      const EncodedRow row = encode(this->format_, x, 64, {effort});
      EXPECT_FALSE(std::isnan(row.stats.squared_error));
      if (!TypeParam::kHasScales) continue;  // f16 becomes infinite, and its error says so
      EXPECT_EQ(find_non_finite(row.gains.data(), 1), -1);
      try {
        EXPECT_LT(relative_error(x, decode(this->format_, row, 64, 64)), 0.3);
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
        EXPECT_GT(row.gains[0], 65504.0f);
      }
    }
  }
}

// Results depend on the row alone: neither on its neighbours nor on what was encoded before.
TYPED_TEST(EveryFormat, GroupsAreIndependent) {
  constexpr int kGroup = 64;
  const auto x = gaussian_row(5 * kGroup, 9);
  for (const Effort effort : kEfforts) {
    const EncodedRow whole = encode(this->format_, x, kGroup, {effort});
    const int64_t group_bytes = this->format_.code_row_bytes(kGroup);
    for (int g = 4; g >= 0; --g) {
      const std::vector<float> part(x.begin() + g * kGroup, x.begin() + (g + 1) * kGroup);
      const EncodedRow alone = encode(this->format_, part, kGroup, {effort});
      EXPECT_TRUE(std::equal(alone.codes.begin(), alone.codes.end(),
                             whole.codes.begin() + g * group_bytes));
      if (TypeParam::kHasScales) {
        EXPECT_EQ(alone.gains[0], whole.gains[g]);
      }
    }
  }
}

}  // namespace
}  // namespace tq
