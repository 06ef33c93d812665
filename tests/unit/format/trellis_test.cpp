// The window-trellis formats: what their codes mean, how large their error is, and that the search
// of every instruction set finds the same paths, which are good ones.
#include "format/trellis.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/float16.h"
#include "format/codebook.h"
#include "format/trellis_encoder.h"
#include "unit/format/test_rows.h"

namespace tq {
namespace {

constexpr int kTrellisBits[] = {3, 4};

const FormatTraits& trellis_format(int bits) { return *find_format(fmt::format("w7_{}", bits)); }

std::vector<uint8_t> random_codes(int64_t n, int bits, unsigned seed) {
  std::mt19937 draw(seed);
  std::vector<uint8_t> codes(packed_bytes(n, bits));
  for (uint8_t& byte : codes) byte = static_cast<uint8_t>(draw());
  return codes;
}

// Bit by bit, as docs/formats.md says: the last seven bits of the ring that end with an index.
int window_by_definition(const uint8_t* codes, int bits, int group, int i) {
  const int ring = bits * group;
  int window = 0;
  for (int b = 0; b < 7; ++b) {
    const int at = (bits * (i + 1) - 7 + b + ring) % ring;
    window |= (codes[at / 8] >> (at % 8) & 1) << b;
  }
  return window;
}

TEST(Trellis, ValuesAreThoseOfTheLastSevenBits) {
  for (const int bits : kTrellisBits) {
    for (const int group : kCodeGroups) {
      const auto codes = random_codes(512, bits, static_cast<unsigned>(group + bits));
      std::vector<uint16_t> gains(512 / group);
      for (size_t g = 0; g < gains.size(); ++g) gains[g] = f32_to_f16(0.5f + static_cast<float>(g));
      std::vector<float> out(512);
      trellis_format(bits).decode_row(codes.data(), gains.data(), 512, group, out.data());
      const TrellisTable& table = trellis_table(bits, group);
      for (int i = 0; i < 512; ++i) {
        const int start = i / group * group;
        const int window =
            window_by_definition(codes.data() + packed_bytes(start, bits), bits, group, i - start);
        const float gain = 0.5f + static_cast<float>(i / group);
        ASSERT_EQ(out[i], gain * table.values[window]) << bits << " " << group << " " << i;
      }
    }
  }
}

TEST(Trellis, TablesAreSumsOverTwoKeys) {
  for (const int bits : kTrellisBits) {
    for (const int group : kCodeGroups) {
      const TrellisTable& table = trellis_table(bits, group);
      EXPECT_EQ(table.bits, bits);
      EXPECT_EQ(table.group, group);
      for (int window = 0; window < kWindows; ++window) {
        // The key before a window of 4 bits has one more bit, on which nothing depends.
        const int before = bits == 3 ? window & 15 : (window & 7) << 1;
        EXPECT_EQ(table.integers[window], table.newest[window >> 3] + table.older[before]);
        EXPECT_EQ(table.values[window], static_cast<float>(table.integers[window]) * table.unit);
        EXPECT_GE(table.integers[window], -127);
      }
      for (int key = 0; bits == 4 && key < kTrellisKeys; ++key) {
        EXPECT_EQ(table.older[key], table.older[key ^ 1]);
      }
      EXPECT_NEAR(table.unit * std::sqrt(group), trellis_table(bits, 128).unit * std::sqrt(128.0f),
                  1e-7);
    }
  }
  EXPECT_THROW(trellis_table(5, 128), Error);
  EXPECT_THROW(trellis_table(3, 96), Error);
}

// Once files exist, what their bytes mean is a promise.
TEST(Trellis, GoldenValues) {
  // One group of 32: the bytes 0x1b, 0x36, 0x51 ...
  std::vector<uint8_t> codes(16);
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(27 * (i + 1));
  const std::vector<int> expected[] = {
      {-33, -26,  -9, -65, -26, 65,   34, 31,  55, -24, -40, -76, 12, -29, -80, -8,
       -61, -101, 58, 55,  -24, -101, 34, -64, 17, 31,  99,  7,   52, 5,   -34, 102},
      {-47, -30, 18, -92, -3, -6,  19, 46, -79, -43, -15, 45,  37,  -10, -22,  28,
       -34, 77,  15, -47, 77, -15, 54, 44, 67,  38,  35,  -58, -36, 85,  -109, -38}};
  for (const int bits : kTrellisBits) {
    uint8_t windows[32];
    bits == 3 ? read_windows<3>(codes.data(), 32, windows)
              : read_windows<4>(codes.data(), 32, windows);
    std::vector<int> integers;
    for (const uint8_t window : windows)
      integers.push_back(trellis_table(bits, 32).integers[window]);
    EXPECT_EQ(integers, expected[bits - 3]) << fmt::format("{}", fmt::join(integers, ", "));
  }
  EXPECT_EQ(std::bit_cast<uint32_t>(trellis_table(3, 128).unit), 0x3b0ed62bu);
  EXPECT_EQ(std::bit_cast<uint32_t>(trellis_table(4, 128).unit), 0x3b13251bu);
}

// Not of the format but of this encoder: a change is to be known of.
TEST(Trellis, GoldenCodes) {
  std::vector<float> x(128);
  for (int i = 0; i < 128; ++i) x[i] = static_cast<float>((37 * i + 11) % 101 - 50) / 64;
  const std::string expected[] = {
      "553630aba08434583c37acc2bb42b1ad39402e061e8124785f141610b2d6900d36bfc49d2dbd67f5d8fa5561"
      "90cb1568",
      "68bf2175a982bd4f25a53110ecc11f20eb48d974b195611eaa336bb3c2d27d56779fdcb78e3255e06ecd6535"
      "05df3ad7bbc5b1d131917132c105eca84bd1c23c"};
  for (const int bits : kTrellisBits) {
    const EncodedRow row = encode(trellis_format(bits), x, 128);
    std::string hex;
    for (const uint8_t byte : row.codes) hex += fmt::format("{:02x}", byte);
    EXPECT_EQ(hex, expected[bits - 3]);
  }
}

// Prints a row of the table in docs/formats.md and checks its bounds:
//   test_format --gtest_filter='*TrellisError.Table*'
struct TrellisBounds {
  int bits;
  double fast;
  double by_default;
  double best;
};

class TrellisError : public ::testing::TestWithParam<TrellisBounds> {};
INSTANTIATE_TEST_SUITE_P(Group128, TrellisError,
                         ::testing::Values(TrellisBounds{3, .0224, .0216, .0214},
                                           TrellisBounds{4, .0063, .0057, .0056}),
                         [](const auto& param) { return fmt::format("w7_{}", param.param.bits); });

TEST_P(TrellisError, Table) {
  constexpr int64_t kWeights = 1 << 17;
  const TrellisBounds& bounds = GetParam();
  const FormatTraits& format = trellis_format(bounds.bits);
  const auto x = gaussian_row(kWeights, 1);
  for (const int group : {128, 64}) {
    const auto error = [&](Effort effort) {
      return encode(format, x, group, {effort}).stats.rel_mse();
    };
    const double fast = error(Effort::kFast), by_default = error(Effort::kDefault);
    const double best = error(Effort::kBest);
    fmt::print("{} g={:3}: fast {:.6f} default {:.6f} best {:.6f}\n", format.name, group, fast,
               by_default, best);
    EXPECT_LE(fast, bounds.fast);
    EXPECT_LE(by_default, bounds.by_default);
    EXPECT_LE(best, bounds.best);
    EXPECT_LT(best, by_default);
    EXPECT_LT(by_default, fast);
  }
}

// There is no reference library for these formats.
TEST(Trellis, TheReferenceEffortIsTheDefault) {
  const auto x = gaussian_row(512, 5);
  const EncodedRow reference = encode(trellis_format(3), x, 128, {Effort::kReference});
  EXPECT_EQ(reference.codes, encode(trellis_format(3), x, 128).codes);
}

// The least cost of all rings of indices, in double precision: for each first state the best path
// that returns to it.
double best_ring(const TrellisTable& table, const std::vector<double>& targets) {
  const int states = kWindows >> table.bits;
  double least = std::numeric_limits<double>::infinity();
  for (int first = 0; first < states; ++first) {
    std::vector<double> costs(states, std::numeric_limits<double>::infinity());
    costs[first] = 0;
    for (const double target : targets) {
      std::vector<double> next(states, std::numeric_limits<double>::infinity());
      for (int window = 0; window < kWindows; ++window) {
        const double miss = target - table.integers[window];
        double& cost = next[window >> table.bits];
        cost = std::min(cost, costs[window & (states - 1)] + miss * miss);
      }
      costs = next;
    }
    least = std::min(least, costs[first]);
  }
  return least;
}

class TrellisSearch : public ::testing::TestWithParam<Isa> {
 protected:
  static const TrellisCoder& coder(int bits) { return trellis_coders(GetParam()).by_bits[bits]; }
};
INSTANTIATE_TEST_SUITE_P(Isas, TrellisSearch, ::testing::ValuesIn(available_isas()),
                         [](const auto& param) { return std::string(isa_name(param.param)); });

TEST_P(TrellisSearch, ComesNearTheBestRing) {
  for (const int bits : kTrellisBits) {
    for (const int group : kCodeGroups) {
      const TrellisTable& table = trellis_table(bits, group);
      const auto x = gaussian_row(int64_t{group} * 4, static_cast<unsigned>(bits * group), 1.0f);
      double found = 0, best = 0;
      for (size_t start = 0; start < x.size(); start += group) {
        std::vector<float> y(x.begin() + start, x.begin() + start + group);
        for (float& value : y) value /= std::sqrt(static_cast<float>(group));
        std::vector<uint8_t> indices(group);
        coder(bits).code(y.data(), group,
                         static_cast<float>(trellis_target_unit(bits)) / table.unit,
                         indices.data());
        std::vector<double> targets(y.begin(), y.end());
        for (double& target : targets) target /= table.unit;
        best += best_ring(table, targets);
        for (int i = 0; i < group; ++i) {
          const auto index = [&](int at) { return indices[(at + group) % group]; };
          const int window = bits == 3 ? index(i) << 4 | index(i - 1) << 1 | index(i - 2) >> 2
                                       : index(i) << 3 | index(i - 1) >> 1;
          found += std::pow(targets[i] - table.integers[window], 2);
        }
      }
      EXPECT_GE(found, best * 0.99999) << bits << " " << group;
      EXPECT_LE(found, best * 1.02) << bits << " " << group;
    }
  }
}

TEST_P(TrellisSearch, CostsAreThoseOfTheBestPaths) {
  for (const int bits : kTrellisBits) {
    const TrellisTable& table = trellis_table(bits, 128);
    const auto y = gaussian_row(128, 3, std::sqrt(1 / 128.0f));
    const auto unit = static_cast<float>(trellis_target_unit(bits));
    std::vector<float> multipliers;
    for (int k = 0; k < 11; ++k) multipliers.push_back(unit / table.unit * (0.8f + 0.04f * k));
    std::vector<int32_t> costs(multipliers.size() + 1, -1);
    coder(bits).costs(y.data(), 128, multipliers.data(), 11, costs.data());
    for (size_t k = 0; k < multipliers.size(); ++k) {
      std::vector<double> targets(y.begin(), y.end());
      for (double& target : targets) target *= multipliers[k] / unit;
      const double squares = std::pow(trellis_unit(bits), 2) / 32768;
      // Free ends cost less than a ring.
      EXPECT_NEAR(costs[k], squares * best_ring(table, targets), 0.06 * costs[k])
          << bits << " " << k;
    }
    EXPECT_EQ(costs.back(), -1);
  }
}

class TrellisIsa : public ::testing::TestWithParam<Isa> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(TrellisIsa);
INSTANTIATE_TEST_SUITE_P(Isas, TrellisIsa,
                         ::testing::ValuesIn(available_isas().begin() + 1, available_isas().end()),
                         [](const auto& param) { return std::string(isa_name(param.param)); });

TEST_P(TrellisIsa, WritesTheBytesOfThePortableSearch) {
  for (const NamedRow& row : odd_rows()) {
    for (const int bits : kTrellisBits) {
      const TrellisCoder& portable = generic_trellis_coders().by_bits[bits];
      const TrellisCoder& tested = trellis_coders(GetParam()).by_bits[bits];
      for (const int group : kCodeGroups) {
        for (const Effort effort : {Effort::kFast, Effort::kDefault, Effort::kBest}) {
          if (effort == Effort::kBest && group != 64) continue;  // for the time it takes
          const auto run = [&](const TrellisCoder& coder) {
            const auto encode = [&](auto&&... arguments) {
              return encode_trellis_row(coder, bits, arguments...);
            };
            return encode_bits(encode, bits, row.x, group, {effort});
          };
          ASSERT_TRUE(run(tested) == run(portable))
              << row.name << " w7_" << bits << " g=" << group << " effort=" << int(effort);
        }
      }
    }
  }
}

TEST(TrellisCoders, HaveTheFormatsOfTheList) {
  for (const Isa isa : available_isas()) {
    const TrellisCoders& coders = trellis_coders(isa);
    EXPECT_EQ(coders.isa, isa);
    for (size_t bits = 0; bits < coders.by_bits.size(); ++bits) {
      const bool exists = find_format(fmt::format("w7_{}", bits)) != nullptr;
      EXPECT_EQ(coders.by_bits[bits].code != nullptr, exists) << bits;
      EXPECT_EQ(coders.by_bits[bits].costs != nullptr, exists) << bits;
    }
  }
}

}  // namespace
}  // namespace tq
