#include "format/scalar_codec.h"

#include "format/scalar_encoder.h"

namespace tq {

EncodeStats encode_scalar_row(int bits, const float* x, int64_t in_padded, int group,
                              const EncodeOptions& options, uint8_t* codes, float* gains) {
  static const ScalarEncoders& encoders = scalar_encoders(selected_isa());
  return encoders.by_bits[static_cast<size_t>(bits)](x, in_padded, group, options, codes, gains);
}

}  // namespace tq
