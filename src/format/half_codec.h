// What f16 and bf16 share: each weight rounded to nearest even, two bytes, little-endian. Pure
// functions of the row; thread safe.
#pragma once

#include <cstdint>
#include <cstring>

#include "format/traits.h"

namespace tq {

// kNarrow and kWiden convert one value (base/float16.h). A value beyond the format's range becomes
// an infinity, and the squared error with it.
template <uint16_t (*kNarrow)(float), float (*kWiden)(uint16_t)>
struct HalfCodec {
  static constexpr InputForm kInput = InputForm::kPlain;
  static constexpr int kBits = 16;
  static constexpr bool kHasScales = false;

  static constexpr int64_t code_row_bytes(int64_t in_padded) { return 2 * in_padded; }

  static void decode_row(const uint8_t* codes, const uint16_t* /*gains*/, int64_t in_padded,
                         int /*group*/, float* out) {
    for (int64_t i = 0; i < in_padded; ++i) {
      uint16_t half;  // memcpy: rows of odd files may be unaligned
      std::memcpy(&half, codes + 2 * i, 2);
      out[i] = kWiden(half);
    }
  }

  static EncodeStats encode_row(const float* x, int64_t in_padded, int /*group*/,
                                const EncodeOptions& /*options*/, uint8_t* codes,
                                float* /*gains*/) {
    EncodeStats stats;
    for (int64_t i = 0; i < in_padded; ++i) {
      const uint16_t half = kNarrow(x[i]);
      std::memcpy(codes + 2 * i, &half, 2);
      const double error = double{x[i]} - kWiden(half);
      stats.squared_error += error * error;
      stats.squared_norm += double{x[i]} * x[i];
    }
    return stats;
  }
};

}  // namespace tq
