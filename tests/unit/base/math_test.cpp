#include "base/math.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>

namespace tq {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

TEST(CheckedMath, MultipliesWithinRange) {
  EXPECT_EQ(checked_mul(3, 4), 12);
  EXPECT_EQ(checked_mul(0, kMax), 0);
  EXPECT_EQ(checked_mul(1, kMax), kMax);
  EXPECT_EQ(checked_mul(2, kMax), std::nullopt);
  EXPECT_EQ(checked_mul(int64_t{1} << 32, int64_t{1} << 31), std::nullopt);
  EXPECT_EQ(checked_mul(-1, 5), std::nullopt);
  EXPECT_EQ(checked_mul(5, -1), std::nullopt);
}

TEST(CheckedMath, AddsWithinRange) {
  EXPECT_EQ(checked_add(3, 4), 7);
  EXPECT_EQ(checked_add(kMax, 0), kMax);
  EXPECT_EQ(checked_add(kMax, 1), std::nullopt);
  EXPECT_EQ(checked_add(-1, 2), std::nullopt);
}

TEST(CheckedMath, TakesProductsOfShapes) {
  EXPECT_EQ(checked_product({}), 1);
  EXPECT_EQ(checked_product(std::array<int64_t, 3>{2, 3, 7}), 42);
  EXPECT_EQ(checked_product(std::array<int64_t, 3>{0, kMax, 1}), 0);
  EXPECT_EQ(checked_product(std::array<int64_t, 3>{kMax, 2, 0}), std::nullopt);
  EXPECT_EQ(checked_product(std::array<int64_t, 2>{3, -1}), std::nullopt);
}

TEST(Rounding, RoundsUp) {
  EXPECT_EQ(ceil_div(0, 16), 0);
  EXPECT_EQ(ceil_div(1, 16), 1);
  EXPECT_EQ(ceil_div(16, 16), 1);
  EXPECT_EQ(ceil_div(17, 16), 2);
  EXPECT_EQ(round_up(0, 64), 0);
  EXPECT_EQ(round_up(1, 64), 64);
  EXPECT_EQ(round_up(64, 64), 64);
}

}  // namespace
}  // namespace tq
