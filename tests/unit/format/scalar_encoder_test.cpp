// Every encoder of every instruction set this CPU has writes the bytes of the portable one.
#include "format/scalar_encoder.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "format/hadamard.h"
#include "format/packing.h"
#include "unit/format/test_rows.h"

namespace tq {
namespace {

constexpr int kBits[] = {2, 3, 4, 5, 6, 8};
constexpr int kGroups[] = {32, 64, 128, 256};
constexpr Effort kScalarEfforts[] = {Effort::kReference, Effort::kFast, Effort::kDefault,
                                     Effort::kBest};

class ScalarEncoder : public ::testing::TestWithParam<Isa> {
 protected:
  // Compares all efforts and groups of one row.
  static void compare(const std::string& name, const std::vector<float>& x, int bits) {
    const ScalarEncodeRow portable = generic_scalar_encoders().by_bits[bits];
    const ScalarEncodeRow tested = scalar_encoders(GetParam()).by_bits[bits];
    for (const int group : kGroups) {
      for (const Effort effort : kScalarEfforts) {
        SCOPED_TRACE(fmt::format("{} tq{} g={} effort={}", name, bits, group, int(effort)));
        const EncodedBits expected = encode_bits(portable, bits, x, group, {effort});
        const EncodedBits actual = encode_bits(tested, bits, x, group, {effort});
        ASSERT_TRUE(actual.codes == expected.codes);
        ASSERT_TRUE(actual.gains == expected.gains);
        ASSERT_EQ(actual.stats, expected.stats);
      }
    }
  }
};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ScalarEncoder);
INSTANTIATE_TEST_SUITE_P(Isas, ScalarEncoder,
                         ::testing::ValuesIn(available_isas().begin() + 1, available_isas().end()),
                         [](const auto& param) { return std::string(isa_name(param.param)); });

TEST_P(ScalarEncoder, WritesTheBytesOfThePortableOne) {
  for (const NamedRow& row : odd_rows()) {
    for (const int bits : kBits) compare(row.name, row.x, bits);
  }
}

// Values on and next to the boundaries, where a comparison done differently would show. The inverse
// rotation of such a vector comes close enough to it that many land on either side.
TEST_P(ScalarEncoder, AgreesNearTheBoundaries) {
  for (const int bits : kBits) {
    for (const int group : kGroups) {
      const auto boundaries = codebook(bits, group).boundaries;
      std::mt19937 draw(static_cast<unsigned>(bits * group));
      std::vector<float> x(512);
      for (float& value : x) value = boundaries[draw() % boundaries.size()];
      for (size_t i = 0; i < x.size(); i += group) unrotate_group(x.data() + i, group);
      compare("boundaries", x, bits);
    }
  }
}

TEST_P(ScalarEncoder, AgreesOnManyGaussianRows) {
  for (const int bits : kBits) {
    for (unsigned seed = 0; seed < 3; ++seed) {
      compare("gaussian", gaussian_row(1024, 100 + seed, std::ldexp(1.0f, int(seed) * 8 - 16)),
              bits);
    }
  }
}

TEST_P(ScalarEncoder, RefusesOtherGroups) {
  const std::vector<float> x(96, 1.0f);
  EXPECT_THROW(encode_bits(scalar_encoders(GetParam()).by_bits[3], 3, x, 96, {}), Error);
}

TEST(ScalarEncoders, HaveTheFormatsOfTheList) {
  for (const Isa isa : available_isas()) {
    const ScalarEncoders& encoders = scalar_encoders(isa);
    EXPECT_EQ(encoders.isa, isa);
    for (size_t bits = 0; bits < encoders.by_bits.size(); ++bits) {
      const bool exists = find_format(fmt::format("tq{}", bits)) != nullptr;
      EXPECT_EQ(encoders.by_bits[bits] != nullptr, exists) << bits;
    }
  }
}

}  // namespace
}  // namespace tq
