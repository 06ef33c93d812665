// The search through the trellis for AVX2.
#if defined(__x86_64__)

#include "format/simd/simd.h"
#include "format/trellis.h"
#include "format/trellis_encoder.h"

// clang-format off
#include "format/simd/trellis_avx2_begin.inc"
#include "format/simd/trellis_coder.inc"
#include "format/simd/end.inc"
// clang-format on

namespace tq {

const TrellisCoders& avx2_trellis_coders() {
  static constexpr TrellisCoders kCoders{Isa::kAvx2, avx2_trellis::kCoders};
  return kCoders;
}

}  // namespace tq

#endif
