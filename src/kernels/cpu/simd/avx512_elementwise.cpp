// Operators on activations for AVX-512.
#if defined(__x86_64__)

#include "kernels/cpu/simd/simd.h"

// clang-format off
#include "kernels/cpu/simd/avx512_begin.inc"
#include "kernels/cpu/simd/math.inc"
#include "kernels/cpu/simd/inputs.inc"
#include "kernels/cpu/simd/elementwise.inc"
#include "kernels/cpu/simd/recurrent.inc"
#include "kernels/cpu/simd/end.inc"
// clang-format on

#endif
