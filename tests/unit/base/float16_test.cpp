// Exhaustive over all 16-bit values, and over every rounding boundary between them.
#include "base/float16.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace tq {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

bool same_bits(float a, float b) {
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
}

// The value of a finite half by IEEE 754.
float half_value(uint16_t half) {
  const int exponent = half >> 10 & 31;
  const int mantissa = half & 1023;
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return static_cast<float>(half & 0x8000 ? -magnitude : magnitude);
}

float bf16_value(uint16_t half) { return std::bit_cast<float>(static_cast<uint32_t>(half) << 16); }

TEST(Float16, WidensEveryHalf) {
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const auto half = static_cast<uint16_t>(h);
    const float wide = f16_to_f32(half);
    if ((h & 0x7c00) != 0x7c00) {
      ASSERT_TRUE(same_bits(wide, half_value(half))) << h;
    } else if ((h & 0x3ff) == 0) {
      ASSERT_EQ(wide, h & 0x8000 ? -kInfinity : kInfinity);
    } else {
      ASSERT_TRUE(std::isnan(wide)) << h;
    }
  }
}

TEST(Float16, NarrowsEveryHalfBack) {
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const auto half = static_cast<uint16_t>(h);
    const uint16_t back = f32_to_f16(f16_to_f32(half));
    if (std::isnan(f16_to_f32(half))) {
      ASSERT_TRUE(std::isnan(f16_to_f32(back))) << h;
      ASSERT_EQ(back & 0x8000, half & 0x8000);
    } else {
      ASSERT_EQ(back, half);
    }
  }
}

// Between each value and the next: the midpoint goes to the even one, its neighbours to theirs.
// `next_value` is what the successor would be were the range unbounded.
void check_rounding(uint16_t (*narrow)(float), uint32_t code, float value, float next_value) {
  const auto low = static_cast<uint16_t>(code);
  const auto high = static_cast<uint16_t>(code + 1);
  const auto middle = static_cast<float>((double{value} + double{next_value}) / 2);
  const uint16_t even = code % 2 == 0 ? low : high;
  ASSERT_EQ(narrow(middle), even) << code;
  ASSERT_EQ(narrow(std::nextafter(middle, 0.0f)), low) << code;
  ASSERT_EQ(narrow(std::nextafter(middle, kInfinity)), high) << code;
  ASSERT_EQ(narrow(-middle), even | 0x8000) << code;
  ASSERT_EQ(narrow(std::nextafter(-middle, 0.0f)), low | 0x8000) << code;
}

TEST(Float16, RoundsToNearestEvenAtEveryBoundary) {
  for (uint32_t h = 0; h < 0x7bff; ++h) {
    check_rounding(f32_to_f16, h, half_value(static_cast<uint16_t>(h)),
                   half_value(static_cast<uint16_t>(h + 1)));
  }
  check_rounding(f32_to_f16, 0x7bff, 65504.0f, 65536.0f);  // the last one rounds to infinity
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::max()), 0x7c00);
  EXPECT_EQ(f32_to_f16(-kInfinity), 0xfc00);
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::denorm_min()), 0);
  EXPECT_EQ(f32_to_f16(-0.0f), 0x8000);
}

TEST(Float16, NanStaysNan) {
  for (const uint32_t bits : {0x7f800001u, 0x7fc00000u, 0x7fffffffu, 0xff800001u, 0xffffffffu}) {
    const auto nan = std::bit_cast<float>(bits);
    EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(nan))));
    EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(nan))));
  }
}

TEST(Bfloat16, KeepsEveryValue) {
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const auto half = static_cast<uint16_t>(h);
    ASSERT_TRUE(same_bits(bf16_to_f32(half), bf16_value(half)));
    if (!std::isnan(bf16_value(half))) {
      ASSERT_EQ(f32_to_bf16(bf16_value(half)), half);
    }
  }
}

TEST(Bfloat16, RoundsToNearestEvenAtEveryBoundary) {
  for (uint32_t h = 0; h < 0x7f7f; ++h) {
    check_rounding(f32_to_bf16, h, bf16_value(static_cast<uint16_t>(h)),
                   bf16_value(static_cast<uint16_t>(h + 1)));
  }
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_EQ(f32_to_bf16(-kInfinity), 0xff80);
}

}  // namespace
}  // namespace tq
