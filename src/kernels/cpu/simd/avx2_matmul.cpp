// Matrix products for AVX2.
#if defined(__x86_64__)

#include "kernels/cpu/simd/simd.h"

// clang-format off
#include "kernels/cpu/simd/avx2_begin.inc"
#include "kernels/cpu/simd/math.inc"
#include "kernels/cpu/simd/matmul_f32.inc"
#include "kernels/cpu/simd/avx2_codes.inc"
#include "kernels/cpu/simd/avx2_products.inc"
#include "kernels/cpu/simd/matmul_i8.inc"
#include "kernels/cpu/simd/end.inc"
// clang-format on

#endif
