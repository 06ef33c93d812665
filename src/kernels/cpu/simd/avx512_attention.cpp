// Attention for AVX-512.
#if defined(__x86_64__)

#include "kernels/cpu/attention_rows.h"
#include "kernels/cpu/simd/simd.h"

// clang-format off
#include "kernels/cpu/simd/avx512_begin.inc"
#include "kernels/cpu/simd/math.inc"
#include "kernels/cpu/simd/avx512_kv_codes.inc"
#include "kernels/cpu/simd/kv_codes.inc"
#include "kernels/cpu/simd/attention.inc"
#include "kernels/cpu/simd/end.inc"
// clang-format on

#endif
