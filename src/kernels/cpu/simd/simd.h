// The kernels for x86-64 vector instructions: what their sources include ahead of a target region,
// and the functions by which they fill a table. Private to kernels/cpu.
//
// Each kernel is written once, in an .inc over the vectors and functions that avx2_begin.inc and
// avx512_begin.inc define, and compiled once for each instruction set by <set>_<kernels>.cpp. What
// must be minded there: no lambdas and no implicit constructors of vectors, as compilers do not
// compile these for the region's target; and no dependence of an output's bits on the other tokens
// or rows of the call.
#pragma once

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
// False alarms about the deliberately undefined vectors inside GCC 12's own intrinsics.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include <immintrin.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "base/float16.h"
#include "format/codebook.h"
#include "format/formats.h"
#include "format/hadamard.h"
#include "format/packing.h"
#include "format/trellis_tables.h"
#include "kernels/cpu/delta_rule.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/vector_math.h"

namespace tq {

namespace avx2 {
void fill_matmul_f32(CpuKernels& table);
void fill_matmul_i8(CpuKernels& table);
void fill_attention(CpuKernels& table);    // kv_store, attention
void fill_recurrent(CpuKernels& table);    // of layers with a state, and the gate of attention
void fill_elementwise(CpuKernels& table);  // the rest of what is worth it
}  // namespace avx2

namespace avxvnni {
void fill_matmul_i8(CpuKernels& table);
}  // namespace avxvnni

namespace avx512 {
void fill_matmul_f32(CpuKernels& table);
void fill_matmul_i8(CpuKernels& table);
void fill_attention(CpuKernels& table);
void fill_recurrent(CpuKernels& table);
void fill_elementwise(CpuKernels& table);
}  // namespace avx512

}  // namespace tq
