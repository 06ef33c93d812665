// f32: weights as they are, four bytes each, little-endian.
#pragma once

#include <cstring>
#include <string_view>

#include "format/traits.h"

namespace tq {

struct F32 {
  static constexpr std::string_view kName = "f32";
  static constexpr InputForm kInput = InputForm::kPlain;
  static constexpr int kBits = 32;
  static constexpr bool kHasScales = false;

  static constexpr int64_t code_row_bytes(int64_t in_padded) { return 4 * in_padded; }

  static void decode_row(const uint8_t* codes, const uint16_t* /*gains*/, int64_t in_padded,
                         int /*group*/, float* out) {
    std::memcpy(out, codes, static_cast<size_t>(code_row_bytes(in_padded)));
  }

  static EncodeStats encode_row(const float* x, int64_t in_padded, int /*group*/,
                                const EncodeOptions& /*options*/, uint8_t* codes,
                                float* /*gains*/) {
    std::memcpy(codes, x, static_cast<size_t>(code_row_bytes(in_padded)));
    EncodeStats stats;
    for (int64_t i = 0; i < in_padded; ++i) stats.squared_norm += double{x[i]} * x[i];
    return stats;
  }
};

}  // namespace tq
