// RowEncoder: rows of fp32 weights into the planes of a format, checked. Whoever writes a matrix
// uses it: the converter, and loading that compresses.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "format/traits.h"

namespace tq {

// Used by one thread.
class RowEncoder {
 public:
  // For rows of a tensor as `shape` describes them; its planes are not read. The tensor's name is
  // for errors.
  RowEncoder(std::string_view tensor, const WeightView& shape, const EncodeOptions& options);

  // Encodes n rows [n, in] of finite weights, n a multiple of rows_together. codes: [n,
  // code_row_bytes]. Gains are rounded to f16 [n, gains_per_row], or stay as the encoder has them;
  // null without scales. Throws kUnsupported for weights that the format cannot hold.
  EncodeStats encode(const float* rows, int64_t n, uint8_t* codes, uint16_t* gains);
  EncodeStats encode(const float* rows, int64_t n, uint8_t* codes, float* gains);

 private:
  // The next rows_together rows.
  EncodeStats encode_some(const float* rows, uint8_t* codes, float* gains);
  void check(const EncodeStats& stats) const;

  std::string tensor_;
  const WeightView shape_;
  const FormatTraits& traits_;
  const EncodeOptions options_;
  std::vector<float> padded_;  // [rows_together, in_padded], with padding
  std::vector<float> gains_;   // [rows_together, gains_per_row]
};

}  // namespace tq
