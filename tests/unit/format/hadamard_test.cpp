#include "format/hadamard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "base/error.h"

namespace tq {
namespace {

using ::testing::ElementsAre;

// Signs as words, least significant bit first, 1 for +1.
std::vector<uint32_t> sign_words(std::span<const float> signs) {
  std::vector<uint32_t> words(signs.size() / 32);
  for (size_t i = 0; i < signs.size(); ++i) {
    EXPECT_EQ(std::fabs(signs[i]), 1.0f);
    if (signs[i] > 0) words[i / 32] |= 1u << (i % 32);
  }
  return words;
}

std::vector<float> gaussian(int n, unsigned seed) {
  std::mt19937 draw(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(n);
  for (float& value : x) value = normal(draw);
  return x;
}

TEST(Hadamard, GoldenSigns) {
  EXPECT_THAT(sign_words(rotation_signs(32).d1), ElementsAre(0x3fd74222u));
  EXPECT_THAT(sign_words(rotation_signs(32).d2), ElementsAre(0x01ab7c17u));
  EXPECT_THAT(sign_words(rotation_signs(64).d1), ElementsAre(0x3fd74222u, 0x01ab7c17u));
  EXPECT_THAT(sign_words(rotation_signs(64).d2), ElementsAre(0xff4abaf6u, 0x656b5fe7u));
  EXPECT_THAT(sign_words(rotation_signs(128).d1),
              ElementsAre(0x3fd74222u, 0x01ab7c17u, 0xff4abaf6u, 0x656b5fe7u));
  EXPECT_THAT(sign_words(rotation_signs(128).d2),
              ElementsAre(0xa821d007u, 0x2440e65cu, 0xc501d238u, 0x1425bfcbu));
  EXPECT_THAT(sign_words(rotation_signs(256).d1),
              ElementsAre(0x3fd74222u, 0x01ab7c17u, 0xff4abaf6u, 0x656b5fe7u, 0xa821d007u,
                          0x2440e65cu, 0xc501d238u, 0x1425bfcbu));
  EXPECT_THAT(sign_words(rotation_signs(256).d2),
              ElementsAre(0x17abce26u, 0x897d89e2u, 0x58acd33du, 0x75bcc936u, 0x1bf37b02u,
                          0x9a3ea97eu, 0xaaa5533eu, 0xb48a24abu));
}

TEST(Hadamard, OtherGroupsAreRefused) {
  float x[512] = {};
  EXPECT_THROW(rotation_signs(16), Error);
  EXPECT_THROW(rotate_group(x, 96), Error);
  EXPECT_THROW(unrotate_group(x, 512), Error);
}

class HadamardGroup : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Groups, HadamardGroup, ::testing::Values(32, 64, 128, 256));

TEST_P(HadamardGroup, IsTheSignedHadamardMatrix) {
  const int g = GetParam();
  const auto x = gaussian(g, 1);
  auto y = x;
  rotate_group(y.data(), g);
  const RotationSigns& signs = rotation_signs(g);
  for (int row = 0; row < g; ++row) {
    double sum = 0;
    for (int i = 0; i < g; ++i) {
      const int parity = std::popcount(static_cast<unsigned>(row & i)) & 1;
      sum += double{x[i]} * signs.d1[i] * (parity != 0 ? -1 : 1);
    }
    EXPECT_NEAR(y[row], sum * signs.d2[row] / std::sqrt(double(g)), 2e-6);
  }
}

// The order of operations decides the last bit, and so the bytes of the reference encoder.
TEST_P(HadamardGroup, ButterfliesRunInTheStatedOrder) {
  const int g = GetParam();
  const auto x = gaussian(g, 2);
  const RotationSigns& signs = rotation_signs(g);
  std::vector<float> expected(g);
  for (int i = 0; i < g; ++i) expected[i] = x[i] * signs.d1[i];
  for (int stride = 1; stride < g; stride *= 2) {
    for (int i = 0; i < g; ++i) {
      if ((i & stride) != 0) continue;
      const float a = expected[i], b = expected[i + stride];
      expected[i] = a + b;
      expected[i + stride] = a - b;
    }
  }
  const auto scale = static_cast<float>(1 / std::sqrt(double(g)));
  for (int i = 0; i < g; ++i) expected[i] = expected[i] * scale * signs.d2[i];
  auto y = x;
  rotate_group(y.data(), g);
  EXPECT_EQ(std::memcmp(y.data(), expected.data(), sizeof(float) * g), 0);
}

TEST_P(HadamardGroup, UnrotateInvertsRotate) {
  const int g = GetParam();
  const auto x = gaussian(g, 3);
  auto y = x;
  rotate_group(y.data(), g);
  unrotate_group(y.data(), g);
  for (int i = 0; i < g; ++i) EXPECT_NEAR(y[i], x[i], 2e-6);
}

TEST_P(HadamardGroup, KeepsInnerProducts) {
  const int g = GetParam();
  auto a = gaussian(g, 4), b = gaussian(g, 5);
  const auto inner = [&] {
    double sum = 0;
    for (int i = 0; i < g; ++i) sum += double{a[i]} * b[i];
    return sum;
  };
  const double before = inner();
  rotate_group(a.data(), g);
  rotate_group(b.data(), g);
  EXPECT_NEAR(inner(), before, 1e-4);
}

}  // namespace
}  // namespace tq
