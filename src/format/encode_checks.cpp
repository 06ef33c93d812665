#include "format/encode_checks.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/error.h"
#include "base/float16.h"

namespace tq {

int64_t find_non_finite(const float* values, int64_t n) {
  constexpr int64_t kBlock = 4096;
  for (int64_t start = 0; start < n; start += kBlock) {
    const int64_t end = std::min(start + kBlock, n);
    // A block without an exit vectorises; exponent bits all ones mean NaN or infinity.
    uint32_t bad = 0;
    for (int64_t i = start; i < end; ++i) {
      bad |= (std::bit_cast<uint32_t>(values[i]) & 0x7f800000u) == 0x7f800000u ? 1u : 0u;
    }
    if (bad == 0) continue;
    for (int64_t i = start; i < end; ++i) {
      if (!std::isfinite(values[i])) return i;
    }
  }
  return -1;
}

void store_gains(const float* gains, int64_t n, std::string_view tensor, uint16_t* out) {
  constexpr uint16_t kInfinity = 0x7c00;
  for (int64_t i = 0; i < n; ++i) {
    out[i] = f32_to_f16(gains[i]);
    if ((out[i] & 0x7fff) >= kInfinity) {
      fail(ErrorCode::kUnsupported,
           "tensor '{}': gain {} is {}, beyond the 65504 of a stored scale; keep this tensor in "
           "bf16 or f32",
           tensor, i, gains[i]);
    }
  }
}

}  // namespace tq
