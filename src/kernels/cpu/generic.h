// The generic kernels come in six files; each fills the slots it implements, for every format, KV
// format or activation. Private to kernels/cpu.
#pragma once

#include "kernels/cpu/kernels.h"

namespace tq::generic {

void fill_matmul(CpuKernels& table);       // matmul_f32, matmul_i8
void fill_inputs(CpuKernels& table);       // embed, rotate, rotate_quantize
void fill_attention(CpuKernels& table);    // kv_store, attention
void fill_routing(CpuKernels& table);      // route, combine
void fill_recurrent(CpuKernels& table);    // short_conv, delta_rule, gated_norm
void fill_elementwise(CpuKernels& table);  // all others

}  // namespace tq::generic
