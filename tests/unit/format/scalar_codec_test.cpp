// How large the error of the scalar formats is, and what the encoder's options do to it.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "base/float16.h"
#include "format/codebook.h"
#include "format/hadamard.h"
#include "format/packing.h"
#include "unit/format/test_rows.h"

namespace tq {
namespace {

const FormatTraits& scalar_format(int bits) { return *find_format(fmt::format("tq{}", bits)); }

// Prints a row of the table in docs/formats.md and checks its bounds:
//   test_format --gtest_filter='*CodecError.Table*'
struct Bounds {
  int bits;
  double reference;
  double fast;
  double by_default;
  double best;
};

class CodecError : public ::testing::TestWithParam<Bounds> {};
INSTANTIATE_TEST_SUITE_P(Group128, CodecError,
                         ::testing::Values(Bounds{2, .1200, .1195, .1185, .1185},
                                           Bounds{3, .0342, .0341, .0320, .0320},
                                           Bounds{4, .0093, .0093, .0080, .0079},
                                           Bounds{5, .00244, .00244, .00193, .00190},
                                           Bounds{6, .00100, .00069, .00065, .00064},
                                           Bounds{8, .000083, .000043, .000040, .000039}),
                         [](const auto& param) { return fmt::format("tq{}", param.param.bits); });

TEST_P(CodecError, Table) {
  constexpr int64_t kWeights = 1 << 17;
  const Bounds& bounds = GetParam();
  const FormatTraits& format = scalar_format(bounds.bits);
  const auto x = gaussian_row(kWeights, 1);
  for (const int group : {128, 64}) {
    const auto error = [&](Effort effort) {
      return encode(format, x, group, {effort}).stats.rel_mse();
    };
    const double reference = error(Effort::kReference), fast = error(Effort::kFast);
    const double by_default = error(Effort::kDefault), best = error(Effort::kBest);
    fmt::print("{} g={:3}: reference {:.6f} fast {:.6f} default {:.6f} best {:.6f}\n", format.name,
               group, reference, fast, by_default, best);
    EXPECT_LE(reference, bounds.reference);  // smaller groups err less: one bound serves both
    EXPECT_LE(fast, bounds.fast);
    EXPECT_LE(by_default, bounds.by_default);
    EXPECT_LE(best, bounds.best);
    EXPECT_LE(best, by_default);
    EXPECT_LT(by_default, fast);
  }
}

// Decoding to bf16 and encoding again changes no index. (It may at 6 and 8 bits: there the norm
// correction of a clipped group is more than half a step.)
TEST(ScalarCodec, ReferenceEncodingOfDecodedBf16IsIdempotent) {
  for (const int bits : {2, 3, 4, 5}) {
    for (const int group : {32, 64, 128, 256}) {
      const FormatTraits& format = scalar_format(bits);
      const auto x = gaussian_row(256 * 32, 4);
      const auto n = static_cast<int64_t>(x.size());
      const EncodedRow first = encode(format, x, group, {Effort::kReference});
      auto decoded = decode(format, first, n, group);
      for (float& value : decoded) value = bf16_to_f32(f32_to_bf16(value));
      const EncodedRow second = encode(format, decoded, group, {Effort::kReference});
      EXPECT_TRUE(first.codes == second.codes) << bits << " " << group;
    }
  }
}

// The encoder's arithmetic against the definition, spelt out.
TEST(ScalarCodec, IndicesCountTheBoundariesBelow) {
  for (const int bits : {2, 3, 4, 5, 6, 8}) {
    for (const int group : {32, 64, 128, 256}) {
      const auto x = gaussian_row(group * 16, 11);
      const EncodedRow row = encode(scalar_format(bits), x, group, {Effort::kReference});
      for (size_t start = 0; start < x.size(); start += group) {
        std::vector<float> y(x.begin() + start, x.begin() + start + group);
        double squared_norm = 0;
        for (const float value : y) squared_norm += double{value} * value;
        for (float& value : y) value /= static_cast<float>(std::sqrt(squared_norm));
        rotate_group(y.data(), group);
        const auto boundaries = codebook(bits, group).boundaries;
        for (int i = 0; i < group; ++i) {
          const auto below = std::count_if(boundaries.begin(), boundaries.end(),
                                           [&](float boundary) { return boundary < y[i]; });
          const int index = unpack_index(row.codes.data(), bits, static_cast<int64_t>(start) + i);
          if (bits < 6) {
            ASSERT_EQ(index, below) << bits << " " << group;
          } else if (index != below) {  // a tie, as far as fp32 can tell
            ASSERT_NEAR(boundaries[std::min<int64_t>(index, below)], y[i], 1e-6);
            ASSERT_EQ(std::abs(index - below), 1);
          }
        }
      }
    }
  }
}

// A group of zeros lies on the middle boundary.
TEST(ScalarCodec, TiesTakeTheLowerIndexAsTheReference) {
  for (const int bits : {2, 3, 4, 5}) {
    const EncodedRow row =
        encode(scalar_format(bits), std::vector<float>(32, 0.0f), 32, {Effort::kReference});
    for (int k = 0; k < 32; ++k) {
      EXPECT_EQ(unpack_index(row.codes.data(), bits, k), (1 << (bits - 1)) - 1);
    }
  }
}

TEST(ScalarCodec, BetaTradesErrorForAnUnbiasedInnerProduct) {
  constexpr int64_t kWeights = 1 << 14;
  const FormatTraits& format = scalar_format(3);
  const auto x = gaussian_row(kWeights, 6);
  const auto measure = [&](float beta) {
    const EncodedRow row = encode(format, x, 128, {Effort::kDefault, beta});
    const auto decoded = decode(format, row, kWeights, 128);
    double inner = 0;
    for (int64_t i = 0; i < kWeights; ++i) inner += double{x[i]} * decoded[i];
    return std::pair{row.stats.rel_mse(), inner / row.stats.squared_norm};
  };
  const auto [least_error, shrunk] = measure(0.0f);
  const auto [middle_error, middle] = measure(0.5f);
  const auto [unbiased_error, unbiased] = measure(1.0f);
  EXPECT_LT(least_error, middle_error);
  EXPECT_LT(middle_error, unbiased_error);
  EXPECT_NEAR(shrunk, 1 - least_error, 1e-4);
  EXPECT_NEAR(middle, 1 - least_error / 2, 1e-3);
  EXPECT_NEAR(unbiased, 1, 2e-3);
}

TEST(ScalarCodec, ReferenceGainRestoresTheNorm) {
  const auto x = gaussian_row(128, 8);
  for (const int bits : {2, 3, 4, 5, 6, 8}) {
    const FormatTraits& format = scalar_format(bits);
    const auto decoded = decode(format, encode(format, x, 128, {Effort::kReference}), 128, 128);
    double before = 0, after = 0;
    for (int i = 0; i < 128; ++i) {
      before += double{x[i]} * x[i];
      after += double{decoded[i]} * decoded[i];
    }
    EXPECT_NEAR(std::sqrt(after / before), 1, 1e-3);  // the gain's rounding to f16
  }
}

// The rotation makes rows Gaussian whatever they were: one heavy-tailed row errs as Gaussian ones.
TEST(ScalarCodec, OutliersCostNoMoreThanGaussianRows) {
  auto x = gaussian_row(128 * 64, 10);
  for (size_t i = 0; i < x.size(); ++i) x[i] = x[i] * x[i] * x[i] * 1e3f;  // kurtosis 46
  EXPECT_LT(encode(scalar_format(3), x, 128).stats.rel_mse(), 0.0325);
}

}  // namespace
}  // namespace tq
