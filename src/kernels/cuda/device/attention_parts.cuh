// What blocks that share a row's keys leave, and how it is merged.
#pragma once

#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/device/common.cuh"

namespace tq::cuda {

// Those that an activation's rows lie in.
inline AttentionParts parts_of(const Activation& x) {
  return {x.n_parts, static_cast<int>(x.in), const_cast<float*>(x.source),
          reinterpret_cast<float2*>(const_cast<float*>(x.part_stats))};
}

// The statistics of a part that a row does not have, which come after all others; its values are
// whatever was there.
constexpr float2 kNoPart{-INFINITY, 0};
__device__ __forceinline__ bool is_no_part(float2 stat) {
  return stat.x == -INFINITY && stat.y == 0;
}
// Of a part whose largest score is `max`, when that of all is `top`; 0 for one without keys.
__device__ __forceinline__ float part_factor(float max, float top) {
  return max == -INFINITY ? 0.0f : __expf(max - top);
}

// Outputs first .. first + kN - 1 of [rows, v_dim], which are of one row.
template <int kN>
__device__ __forceinline__ void merge_parts(const AttentionParts& parts, int64_t first,
                                            float (&out)[kN]) {
  const auto row = static_cast<uint32_t>(first) / static_cast<uint32_t>(parts.v_dim);
  const int d = static_cast<int>(first) - static_cast<int>(row) * parts.v_dim;
  const float2* stats = parts.stats + int64_t{row} * parts.n;
  const float* values = parts.values + int64_t{row} * parts.n * parts.v_dim + d;
  float top = -INFINITY, sum = 0;
  // The newest maximum rescales what was summed: the order of the parts is that of the sums.
  constexpr int kAtOnce = 8;
#pragma unroll
  for (int k = 0; k < kN; ++k) out[k] = 0;
  int n = parts.n;
  for (int base = kAtOnce; base < parts.n; base += kAtOnce) {
    if (is_no_part(stats[base])) n = min(n, base);
  }
  for (int base = 0; base < n; base += kAtOnce) {
    float2 stat[kAtOnce];
    float value[kAtOnce][kN];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const bool there = base + i < n;
      stat[i] = there ? stats[base + i] : kNoPart;
      const float* from = values + (base + i) * parts.v_dim;
      if constexpr (kN % 4 == 0) {
#pragma unroll
        for (int k = 0; k < kN; k += 4) {
          const float4 four = there ? *reinterpret_cast<const float4*>(from + k) : float4{};
          value[i][k] = four.x, value[i][k + 1] = four.y;
          value[i][k + 2] = four.z, value[i][k + 3] = four.w;
        }
      } else {
#pragma unroll
        for (int k = 0; k < kN; ++k) value[i][k] = there ? from[k] : 0.0f;
      }
    }
    float new_top = top;
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) new_top = fmaxf(new_top, stat[i].x);
    const float before = part_factor(top, new_top);
    top = new_top;
    sum *= before;
#pragma unroll
    for (int k = 0; k < kN; ++k) out[k] *= before;
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const float factor = part_factor(stat[i].x, top);
      sum = fmaf(factor, stat[i].y, sum);
#pragma unroll
      for (int k = 0; k < kN; ++k) {
        out[k] = fmaf(factor, is_no_part(stat[i]) ? 0.0f : value[i][k], out[k]);
      }
    }
  }
#pragma unroll
  for (int k = 0; k < kN; ++k) out[k] = __fdiv_rn(out[k], sum);
}

}  // namespace tq::cuda
