// Integers in groups: packing, decoding, and that the search never loses to plain rounding. Values
// and bytes of other implementations: unit/io/int_checkpoint_test.cpp.
#include "format/int_groups.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "base/float16.h"

namespace tq {
namespace {

constexpr Effort kSearches[] = {Effort::kFast, Effort::kDefault, Effort::kBest};

struct IntEncoded {
  std::vector<uint8_t> codes;
  std::vector<uint16_t> scales;
  std::vector<uint8_t> zeros;
  EncodeStats stats;
};

IntEncoded encode_ints(const std::vector<float>& x, const IntScheme& scheme, Effort effort) {
  IntEncoded out;
  out.codes.resize(x.size());
  out.scales.resize(x.size() / static_cast<size_t>(scheme.group));
  out.zeros.resize(out.scales.size());
  out.stats = encode_int_row(x.data(), static_cast<int64_t>(x.size()), scheme, effort,
                             {out.codes.data(), out.scales.data(), out.zeros.data()});
  return out;
}

std::vector<float> decode_ints(const IntEncoded& row, const IntScheme& scheme) {
  std::vector<float> x(row.codes.size());
  decode_int_row(scheme, row.codes.data(), row.scales.data(), row.zeros.data(),
                 static_cast<int64_t>(x.size()), x.data());
  return x;
}

std::vector<float> int_weights(size_t n, float scale, float mean = 0) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(mean, scale);
  std::vector<float> x(n);
  for (float& value : x) value = bf16_to_f32(f32_to_bf16(normal(random)));
  return x;
}

std::vector<IntScheme> int_schemes() {
  std::vector<IntScheme> all;
  for (const int bits : {3, 4, 8}) {
    for (const bool symmetric : {true, false}) {
      for (const int group : {32, 64, 128}) {
        for (const IntScale scale : {IntScale::kF16, IntScale::kBf16}) {
          all.push_back({bits, symmetric, group, scale});
        }
      }
    }
  }
  return all;
}

double int_error(const std::vector<float>& x, const std::vector<float>& y) {
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += (double{x[i]} - y[i]) * (double{x[i]} - y[i]);
  return sum;
}

TEST(IntGroups, SearchIsNeverWorseThanPlainRounding) {
  for (const float mean : {0.0f, 0.03f, -1.0f}) {
    const std::vector<float> x = int_weights(4096, 0.05f, mean);
    for (const IntScheme& scheme : int_schemes()) {
      const IntEncoded plain = encode_ints(x, scheme, Effort::kReference);
      double before = plain.stats.squared_error;
      EXPECT_NEAR(int_error(x, decode_ints(plain, scheme)), before, 1e-9 * before) << scheme.name();
      for (const Effort effort : kSearches) {
        const IntEncoded found = encode_ints(x, scheme, effort);
        EXPECT_NEAR(int_error(x, decode_ints(found, scheme)), found.stats.squared_error,
                    1e-9 * found.stats.squared_error);
        EXPECT_LE(found.stats.squared_error, plain.stats.squared_error) << scheme.name();
        before = std::min(before, found.stats.squared_error);
      }
      // With few levels it gains even in squared error, which is not what it looks for alone.
      if (mean == 0 && scheme.bits == 3) {
        EXPECT_LT(before, 0.95 * plain.stats.squared_error) << scheme.name();
      }
    }
  }
}

TEST(IntGroups, PlainRoundingIsTheKnownRule) {
  const std::vector<float> x = int_weights(128, 0.05f);
  float low = 0;
  float high = 0;
  for (const float value : x) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  const IntScheme symmetric{4, true, 128, IntScale::kBf16};
  const IntEncoded a = encode_ints(x, symmetric, Effort::kReference);
  EXPECT_EQ(a.scales[0], f32_to_bf16(std::max(-low, high) / 7.5f));
  EXPECT_EQ(a.zeros[0], 8);
  const IntScheme asymmetric{4, false, 128, IntScale::kF16};
  const IntEncoded b = encode_ints(x, asymmetric, Effort::kReference);
  EXPECT_EQ(b.scales[0], f32_to_f16((high - low) / 15));
  EXPECT_EQ(b.zeros[0], std::lround(-low / f16_to_f32(b.scales[0])));
  const float step = f16_to_f32(b.scales[0]);
  for (size_t i = 0; i < x.size(); ++i) {
    const long code = std::clamp(std::lround(x[i] / step) + b.zeros[0], 0L, 15L);
    EXPECT_EQ(b.codes[i], code) << i;
  }
}

TEST(IntGroups, ValuesOnAGridAreExact) {
  for (const IntScheme& scheme : int_schemes()) {
    std::vector<float> x(static_cast<size_t>(scheme.group));
    for (size_t i = 0; i < x.size(); ++i) {
      const int code = static_cast<int>(i) % (scheme.most() + 1);
      x[i] = 0.125f * static_cast<float>(code - scheme.middle());
    }
    if (scheme.bits == 8) {
      x[1] = 0.125f * static_cast<float>(scheme.most() - scheme.middle());
      x[0] = 0.125f * static_cast<float>(-scheme.middle());
    }
    EXPECT_LT(encode_ints(x, scheme, Effort::kBest).stats.rel_mse(), 1e-5) << scheme.name();
  }
}

TEST(IntGroups, ZerosAndTinyWeights) {
  for (const IntScheme& scheme : int_schemes()) {
    for (const float value : {0.0f, 1e-38f, -1e-30f, 3e-8f}) {
      const std::vector<float> x(static_cast<size_t>(scheme.group), value);
      for (const Effort effort : {Effort::kReference, Effort::kDefault}) {
        const IntEncoded row = encode_ints(x, scheme, effort);
        EXPECT_NE(row.scales[0], 0);
        for (const float back : decode_ints(row, scheme)) {
          EXPECT_LE(std::abs(back - value), 6e-8f) << scheme.name() << " of " << value;
        }
        if (value != 0) continue;
        EXPECT_EQ(decode_ints(row, scheme), x);
        EXPECT_EQ(row.stats.squared_error, 0);
      }
    }
  }
}

TEST(IntGroups, WeightsBeyondTheScalesTypeHaveAnInfiniteError) {
  const std::vector<float> x = int_weights(128, 1e7f);
  EXPECT_TRUE(std::isinf(
      encode_ints(x, {4, true, 128, IntScale::kF16}, Effort::kDefault).stats.squared_error));
  EXPECT_LT(encode_ints(x, {4, true, 128, IntScale::kBf16}, Effort::kDefault).stats.rel_mse(),
            0.02);
  const std::vector<float> huge(128, 3e38f);
  EXPECT_TRUE(std::isinf(
      encode_ints(huge, {4, true, 128, IntScale::kBf16}, Effort::kDefault).stats.squared_error));
}

TEST(IntGroups, PackedCodesComeBack) {
  for (const int bits : {3, 4, 8}) {
    std::vector<uint8_t> codes(96);
    for (size_t i = 0; i < codes.size(); ++i) {
      codes[i] = static_cast<uint8_t>((i * 37 + 11) % (1u << bits));
    }
    std::vector<uint8_t> packed(codes.size() * static_cast<size_t>(bits) / 8);
    pack_codes(codes.data(), 96, bits, packed.data());
    // Code i begins at bit i * bits of the stream.
    for (size_t i = 0; i < codes.size(); ++i) {
      unsigned code = 0;
      for (int b = 0; b < bits; ++b) {
        const size_t bit = i * static_cast<size_t>(bits) + static_cast<size_t>(b);
        code |= ((packed[bit / 8] >> (bit % 8)) & 1u) << b;
      }
      EXPECT_EQ(code, codes[i]) << bits << " bits, code " << i;
    }
    std::vector<uint8_t> back(codes.size());
    unpack_codes(packed.data(), 96, bits, back.data());
    EXPECT_EQ(back, codes);
  }
}

TEST(IntGroups, AwqWords) {
  // Column 0 lies in nibble 0, column 2 in nibble 1, ...
  const uint8_t codes[8] = {0, 1, 2, 3, 4, 5, 6, 7};
  const uint32_t word = awq_word(codes, 1);
  EXPECT_EQ(word, 0x75316420u);
  for (int column = 0; column < 8; ++column) EXPECT_EQ(awq_code(word, column), column);
}

TEST(IntGroups, Names) {
  EXPECT_EQ((IntScheme{4, true, 128, IntScale::kF16}.name()), "int4-g128");
  EXPECT_EQ((IntScheme{3, false, 32, IntScale::kBf16}.name()), "uint3-g32");
}

}  // namespace
}  // namespace tq
