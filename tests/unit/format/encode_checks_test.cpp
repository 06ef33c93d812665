#include "format/encode_checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/error.h"
#include "base/float16.h"

namespace tq {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

TEST(FindNonFinite, FindsTheFirst) {
  std::vector<float> values(10000, std::numeric_limits<float>::max());
  const auto n = static_cast<int64_t>(values.size());
  EXPECT_EQ(find_non_finite(values.data(), n), -1);
  EXPECT_EQ(find_non_finite(values.data(), 0), -1);
  values[9999] = kNaN;
  EXPECT_EQ(find_non_finite(values.data(), n), 9999);
  values[4096] = -kInfinity;
  EXPECT_EQ(find_non_finite(values.data(), n), 4096);
  values[0] = -kNaN;
  EXPECT_EQ(find_non_finite(values.data(), n), 0);
}

TEST(StoreGains, RoundsToHalf) {
  const float gains[] = {0.0f, 1.0f, 0.1f, 65519.0f};
  uint16_t stored[4];
  store_gains(gains, 4, "w", stored);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(stored[i], f32_to_f16(gains[i]));
  EXPECT_EQ(f16_to_f32(stored[3]), 65504.0f);
}

TEST(StoreGains, RefusesWhatHalfCannotHoldNamingTheTensor) {
  for (const float bad : {65520.0f, 1e30f, std::numeric_limits<float>::max(), kInfinity, kNaN}) {
    const float gains[] = {1.0f, bad};
    uint16_t stored[2];
    try {
      store_gains(gains, 2, "model.layers.3.mlp.up_proj.weight", stored);
      ADD_FAILURE() << bad << " was stored";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
      EXPECT_THAT(error.what(), ::testing::HasSubstr("model.layers.3.mlp.up_proj.weight"));
    }
  }
}

}  // namespace
}  // namespace tq
