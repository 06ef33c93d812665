#include "format/row_encoder.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "format/encode_checks.h"

namespace tq {

RowEncoder::RowEncoder(std::string_view tensor, const WeightView& shape,
                       const EncodeOptions& options)
    : tensor_(tensor), shape_(shape), traits_(shape.traits()), options_(options) {
  const auto together = static_cast<size_t>(traits_.rows_together);
  if (shape.in != shape.in_padded) padded_.resize(together * static_cast<size_t>(shape.in_padded));
  gains_.resize(together * static_cast<size_t>(shape.gains_per_row()));
}

EncodeStats RowEncoder::encode(const float* rows, int64_t n, uint8_t* codes, uint16_t* gains) {
  EncodeStats stats;
  for (int64_t row = 0; row < n; row += traits_.rows_together) {
    stats.add(
        encode_some(rows + row * shape_.in, codes + row * shape_.code_row_bytes(), gains_.data()));
    store_gains(gains_.data(), static_cast<int64_t>(gains_.size()), tensor_,
                gains + row * shape_.gains_per_row());
  }
  check(stats);
  return stats;
}

EncodeStats RowEncoder::encode(const float* rows, int64_t n, uint8_t* codes, float* gains) {
  EncodeStats stats;
  for (int64_t row = 0; row < n; row += traits_.rows_together) {
    stats.add(encode_some(rows + row * shape_.in, codes + row * shape_.code_row_bytes(),
                          gains + row * shape_.gains_per_row()));
  }
  check(stats);
  return stats;
}

EncodeStats RowEncoder::encode_some(const float* rows, uint8_t* codes, float* gains) {
  if (!padded_.empty()) {
    for (int64_t r = 0; r < traits_.rows_together; ++r) {
      std::copy_n(rows + r * shape_.in, shape_.in, padded_.data() + r * shape_.in_padded);
    }
    rows = padded_.data();
  }
  return traits_.encode_rows(rows, shape_.in_padded, shape_.group, options_, codes, gains);
}

void RowEncoder::check(const EncodeStats& stats) const {
  if (std::isfinite(stats.squared_error)) return;
  fail(ErrorCode::kUnsupported,
       "tensor {}: weights beyond the range of {}; store it as bf16 or f32, or keep it as it is",
       tensor_, traits_.name);
}

}  // namespace tq
