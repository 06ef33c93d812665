#include "format/row_encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/float16.h"
#include "support/expect_error.h"
#include "unit/format/test_rows.h"

namespace tq {
namespace {

struct EncodedMatrix {
  std::vector<uint8_t> codes;
  std::vector<uint16_t> gains;
  std::vector<float> exact_gains;
  EncodeStats stats;
};

EncodedMatrix encode_matrix(const WeightView& shape, const std::vector<float>& rows) {
  EncodedMatrix out;
  out.codes.resize(static_cast<size_t>(shape.rows * shape.code_row_bytes()));
  out.gains.resize(static_cast<size_t>(shape.rows * shape.gains_per_row()));
  out.exact_gains.resize(out.gains.size());
  RowEncoder encoder("w", shape, {Effort::kFast});
  std::vector<uint8_t> again(out.codes.size());
  encoder.encode(rows.data(), shape.rows, again.data(), out.exact_gains.data());
  out.stats = encoder.encode(rows.data(), shape.rows, out.codes.data(), out.gains.data());
  EXPECT_EQ(again, out.codes);
  return out;
}

// Row by row, whatever was encoded before, with zeros where a row is padded.
TEST(RowEncoderTest, GivesEachRowWhatItsFormatGives) {
  constexpr int64_t kRows = 5;
  for (const FormatTraits& format : all_formats()) {
    for (const int64_t in : {int64_t{128}, int64_t{100}, int64_t{96}}) {
      SCOPED_TRACE(std::string(format.name) + " of " + std::to_string(in));
      const WeightView shape = weight_shape(format, kRows, in);
      const std::vector<float> rows = gaussian_row(kRows * in, 3);
      const EncodedMatrix matrix = encode_matrix(shape, rows);
      EncodeStats stats;
      for (int64_t r = 0; r < kRows; ++r) {
        std::vector<float> padded(rows.begin() + r * in, rows.begin() + (r + 1) * in);
        padded.resize(static_cast<size_t>(shape.in_padded));
        const EncodedRow row = encode(format, padded, shape.group, {Effort::kFast});
        stats.add(row.stats);
        EXPECT_TRUE(std::equal(row.codes.begin(), row.codes.end(),
                               matrix.codes.begin() + r * shape.code_row_bytes()));
        for (size_t g = 0; g < row.gains.size(); ++g) {
          const size_t at = static_cast<size_t>(r * shape.gains_per_row()) + g;
          EXPECT_EQ(matrix.exact_gains[at], row.gains[g]);
          EXPECT_EQ(matrix.gains[at], f32_to_f16(row.gains[g]));
        }
      }
      EXPECT_EQ(matrix.stats.squared_error, stats.squared_error);
      EXPECT_EQ(matrix.stats.squared_norm, stats.squared_norm);
    }
  }
}

TEST(RowEncoderTest, RefusesWhatTheFormatCannotHoldByTheTensorsName) {
  std::vector<float> rows(256, 0.25f);
  rows[200] = 1e7f;
  for (const char* name : {"f16", "tq4"}) {
    const WeightView shape = weight_shape(*find_format(name), 2, 128);
    std::vector<uint8_t> codes(static_cast<size_t>(2 * shape.code_row_bytes()));
    std::vector<uint16_t> gains(2);
    fixtures::expect_error(ErrorCode::kUnsupported, {"layers.7.w"}, [&] {
      RowEncoder("layers.7.w", shape, {}).encode(rows.data(), 2, codes.data(), gains.data());
    });
  }
  const WeightView shape = weight_shape(*find_format("bf16"), 2, 128);
  std::vector<uint8_t> codes(static_cast<size_t>(2 * shape.code_row_bytes()));
  RowEncoder("w", shape, {}).encode(rows.data(), 2, codes.data(), static_cast<uint16_t*>(nullptr));
}

TEST(WeightShape, FollowsTheFormatsGroups) {
  for (const FormatTraits& format : all_formats()) {
    const WeightView view = weight_shape(format, 3, 100, 2);
    EXPECT_EQ(view.experts, 2);
    EXPECT_EQ(view.rows, 3);
    EXPECT_EQ(view.in, 100);
    EXPECT_EQ(view.group, format.group_for(100));
    EXPECT_EQ(view.group > 0, format.has_scales) << format.name;
    EXPECT_EQ(view.codes, nullptr);
  }
  EXPECT_EQ(weight_shape(*find_format("tq4"), 3, 100).in_padded, 128);
  EXPECT_EQ(weight_shape(*find_format("tq4"), 3, 96).in_padded, 96);
  EXPECT_EQ(weight_shape(*find_format("bf16"), 3, 100).in_padded, 100);
}

}  // namespace
}  // namespace tq
