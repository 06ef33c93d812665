// The search through the trellis for AVX-512.
#if defined(__x86_64__)

#include "format/simd/simd.h"
#include "format/trellis.h"
#include "format/trellis_encoder.h"

// clang-format off
#include "format/simd/trellis_avx512_begin.inc"
#include "format/simd/trellis_coder.inc"
#include "format/simd/end.inc"
// clang-format on

namespace tq {

const TrellisCoders& avx512_trellis_coders() {
  static constexpr TrellisCoders kCoders{Isa::kAvx512, avx512_trellis::kCoders};
  return kCoders;
}

}  // namespace tq

#endif
