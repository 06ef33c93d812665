// What the formats tq2 .. tq8 share: rows cut into groups, each rotated (hadamard.h), its
// coordinates replaced by the indices of codebook centroids (codebook.h) and scaled by one gain.
// docs/formats.md defines the result bit for bit. Pure functions of the row; thread safe.
#pragma once

#include <cstdint>

#include "base/float16.h"
#include "format/codebook.h"
#include "format/format_list.h"
#include "format/packing.h"
#include "format/traits.h"

namespace tq {

// ScalarCodec::encode_row of a width, for this CPU (scalar_encoder.h).
EncodeStats encode_scalar_row(int bits, const float* x, int64_t in_padded, int group,
                              const EncodeOptions& options, uint8_t* codes, float* gains);

// A format struct derives from ScalarCodec<bits> and adds its name. For groups of 32, 64, 128 and
// 256.
template <int kCodeBits>
struct ScalarCodec {
  static_assert(is_one_of(kCodeBits, CodebookWidths{}), "there is no codebook of this width");
  static constexpr InputForm kInput = InputForm::kRotated;
  static constexpr int kBits = kCodeBits;
  static constexpr bool kHasScales = true;

  static constexpr int64_t code_row_bytes(int64_t in_padded) {
    return packed_bytes(in_padded, kBits);
  }
  static void decode_row(const uint8_t* codes, const uint16_t* gains, int64_t in_padded, int group,
                         float* out) {
    const float* centroids = codebook(kBits, group).centroids.data();
    for (int64_t start = 0; start < in_padded; start += group) {
      const float gain = f16_to_f32(gains[start / group]);
      for (int64_t i = start; i < start + group; i += 8) {
        uint8_t index[8];
        unpack8<kBits>(codes + packed_bytes(i, kBits), index);
        for (int k = 0; k < 8; ++k) out[i + k] = gain * centroids[index[k]];
      }
    }
  }
  static EncodeStats encode_row(const float* x, int64_t in_padded, int group,
                                const EncodeOptions& options, uint8_t* codes, float* gains) {
    return encode_scalar_row(kBits, x, in_padded, group, options, codes, gains);
  }
};

template <typename F>
constexpr bool kIsScalarCodec = kDerivesFrom<F, ScalarCodec>;

}  // namespace tq
