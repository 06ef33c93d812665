// Matrix products for AVX2 with AVX-VNNI, whose byte products are added to 32 bits at once.
#if defined(__x86_64__)

#include "kernels/cpu/simd/simd.h"

#define TQ_AVX_VNNI
// clang-format off
#include "kernels/cpu/simd/avx2_begin.inc"
#include "kernels/cpu/simd/math.inc"
#include "kernels/cpu/simd/avx2_codes.inc"
#include "kernels/cpu/simd/avx2_products.inc"
#include "kernels/cpu/simd/matmul_i8.inc"
#include "kernels/cpu/simd/end.inc"
// clang-format on
#undef TQ_AVX_VNNI

#endif
