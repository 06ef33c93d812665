#include "format/traits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/float16.h"
#include "unit/format/test_rows.h"

namespace tq {
namespace {

using ::testing::ElementsAre;
using ::testing::IsSupersetOf;

TEST(Formats, TheListHoldsTheDocumentedNames) {
  std::vector<std::string_view> names;
  for (const FormatTraits& format : all_formats()) names.push_back(format.name);
  EXPECT_THAT(names, IsSupersetOf({"f32", "f16", "bf16", "tq2", "tq3", "tq4", "tq5", "tq6", "tq8",
                                   "w7_3", "w7_4"}));
  EXPECT_EQ(format_count(), static_cast<int>(names.size()));
  EXPECT_EQ(std::set(names.begin(), names.end()).size(), names.size());
}

TEST(Formats, UnknownNamesAndIdsAreNotFound) {
  EXPECT_EQ(find_format("tq7"), nullptr);
  EXPECT_EQ(find_format("TQ3"), nullptr);
  EXPECT_EQ(find_format(""), nullptr);
  EXPECT_THROW(format_traits(static_cast<FormatId>(format_count())), Error);
}

TEST(Formats, DefaultGroupDividesTheRowWhereOneDoes) {
  EXPECT_EQ(default_group(2816), 128);
  EXPECT_EQ(default_group(576), 64);
  EXPECT_EQ(default_group(704), 64);
  EXPECT_EQ(default_group(2112), 64);
  EXPECT_EQ(default_group(32), 32);
  EXPECT_EQ(default_group(1120), 32);
  EXPECT_EQ(default_group(100), 128);  // padded
  EXPECT_EQ(default_group(1), 128);
}

TEST(Formats, SixteenBitFormatsRoundToNearestEven) {
  const std::vector<float> x = {1.0f,     1.0f + 0x1p-11f, 1.0f + 0x3p-11f, -2.5f,
                                0x1p-24f, 1.0f + 0x1p-8f,  1.0f + 0x3p-8f,  65504.0f};
  const auto n = static_cast<int64_t>(x.size());
  const FormatTraits& f16 = *find_format("f16");
  EXPECT_THAT(decode(f16, encode(f16, x, 0), n, 0),
              ElementsAre(1.0f, 1.0f, 1.0f + 0x1p-9f, -2.5f, 0x1p-24f, 1.0f + 0x1p-8f,
                          1.0f + 0x3p-8f, 65504.0f));
  const FormatTraits& bf16 = *find_format("bf16");
  EXPECT_THAT(decode(bf16, encode(bf16, x, 0), n, 0),
              ElementsAre(1.0f, 1.0f, 1.0f, -2.5f, 0x1p-24f, 1.0f, 1.0f + 0x1p-6f, 65536.0f));
}

TEST(Formats, F32KeepsEveryBit) {
  const auto x = gaussian_row(37, 3);
  const FormatTraits& f32 = *find_format("f32");
  const EncodedRow row = encode(f32, x, 0);
  EXPECT_EQ(decode(f32, row, 37, 0), x);
  EXPECT_EQ(row.stats.squared_error, 0);
  EXPECT_GT(row.stats.squared_norm, 0);
}

TEST(Formats, F16OverflowShowsInTheStatistics) {
  const std::vector<float> x = {1.0f, 1e6f};
  EXPECT_TRUE(std::isinf(encode(*find_format("f16"), x, 0).stats.squared_error));
}

// Two experts of three rows of 100 weights, padded to one group of 128.
class PaddedWeights : public ::testing::Test {
 protected:
  static constexpr int64_t kIn = 100, kPadded = 128, kRows = 3, kExperts = 2;

  PaddedWeights() {
    const FormatTraits& format = *find_format("tq8");
    view_.format = format.id;
    view_.rows = kRows;
    view_.experts = kExperts;
    view_.in = kIn;
    view_.in_padded = kPadded;
    view_.group = 128;
    for (int row = 0; row < kRows * kExperts; ++row) {
      auto x = gaussian_row(kIn, 100 + row);
      rows_.push_back(x);
      x.resize(kPadded, 0.0f);
      const EncodedRow encoded = encode(format, x, 128);
      codes_.insert(codes_.end(), encoded.codes.begin(), encoded.codes.end());
      gains_.push_back(f32_to_f16(encoded.gains[0]));
    }
    view_.codes = codes_.data();
    view_.gains = gains_.data();
  }

  static void expect_row(const WeightView& view, int64_t row, const std::vector<float>& x) {
    std::vector<float> out(kIn), scratch(kPadded);
    decode_row_plain(view, row, out.data(), scratch.data());
    EXPECT_LT(relative_error(x, out), 1e-4) << row;
  }

  std::vector<std::vector<float>> rows_;
  std::vector<uint8_t> codes_;
  std::vector<uint16_t> gains_;
  WeightView view_;
};

TEST_F(PaddedWeights, DecodeWithoutTheirPadding) {
  for (int64_t row = 0; row < kRows * kExperts; ++row) expect_row(view_, row, rows_[row]);
}

TEST_F(PaddedWeights, AnExpertIsAMatrix) {
  const WeightView second = view_.expert(1);
  EXPECT_EQ(second.experts, 1);
  for (int64_t row = 0; row < kRows; ++row) expect_row(second, row, rows_[kRows + row]);
  EXPECT_EQ(view_.size_bytes(), kExperts * second.size_bytes());
  EXPECT_EQ(second.size_bytes(), kRows * (128 + 2));
}

}  // namespace
}  // namespace tq
