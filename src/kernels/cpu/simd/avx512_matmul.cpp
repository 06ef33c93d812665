// Matrix products for AVX-512.
#if defined(__x86_64__)

#include "kernels/cpu/simd/simd.h"

// clang-format off
#include "kernels/cpu/simd/avx512_begin.inc"
#include "kernels/cpu/simd/math.inc"
#include "kernels/cpu/simd/matmul_f32.inc"
#include "kernels/cpu/simd/avx512_products.inc"
#include "kernels/cpu/simd/matmul_i8.inc"
#include "kernels/cpu/simd/end.inc"
// clang-format on

#endif
