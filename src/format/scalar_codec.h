// What the formats tq2 .. tq8 share: rows cut into groups, each rotated (hadamard.h), its
// coordinates replaced by the indices of codebook centroids (codebook.h) and scaled by one gain.
// docs/formats.md defines the result bit for bit. Pure functions of the row; thread safe.
#pragma once

#include <cstdint>

#include "format/packing.h"
#include "format/traits.h"

namespace tq {

// A format struct derives from ScalarCodec<bits> and adds its name. Defined for 2, 3, 4, 5, 6 and 8
// bits, groups of 32, 64, 128 and 256.
template <int kCodeBits>
struct ScalarCodec {
  static constexpr InputForm kInput = InputForm::kRotated;
  static constexpr int kBits = kCodeBits;
  static constexpr bool kHasScales = true;

  static constexpr int64_t code_row_bytes(int64_t in_padded) {
    return packed_bytes(in_padded, kBits);
  }
  static void decode_row(const uint8_t* codes, const uint16_t* gains, int64_t in_padded, int group,
                         float* out);
  static EncodeStats encode_row(const float* x, int64_t in_padded, int group,
                                const EncodeOptions& options, uint8_t* codes, float* gains);
};

extern template struct ScalarCodec<2>;
extern template struct ScalarCodec<3>;
extern template struct ScalarCodec<4>;
extern template struct ScalarCodec<5>;
extern template struct ScalarCodec<6>;
extern template struct ScalarCodec<8>;

}  // namespace tq
