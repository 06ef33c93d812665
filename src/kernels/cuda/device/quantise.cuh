// A rotated group on its way to int8: what prepare() stores, and what products that prepare their
// own input keep in shared memory. The same operations in both, so that the bytes are the same.
#pragma once

#include "kernels/cuda/device/rotate.cuh"

namespace tq::cuda {

// The lane's values as int8; returns the group's scale. All lanes of the warp take part.
template <int kGroup>
__device__ float quantise(const RotatedGroup<kGroup>& values,
                          int8_t (&q8)[RotatedGroup<kGroup>::kPerLane]) {
  constexpr int kPerLane = RotatedGroup<kGroup>::kPerLane;
  // Magnitudes compare like the integers of their bits: a NaN is the largest and stays visible.
  uint32_t max_bits = 0;
#pragma unroll
  for (int k = 0; k < kPerLane; ++k) {
    max_bits = max(max_bits, __float_as_uint(values.x[k]) & 0x7fffffffu);
  }
  max_bits = __reduce_max_sync(kAllLanes, max_bits);
  const float max = __uint_as_float(max_bits);
  const float inverse = max > 1e-30f ? __fdiv_rn(127.0f, max) : 0.0f;
#pragma unroll
  for (int k = 0; k < kPerLane; ++k) {
    q8[k] = static_cast<int8_t>(__float2int_rn(__fmul_rn(values.x[k], inverse)));
  }
  return __fdiv_rn(max, 127.0f);
}

// To `to`, the lane's place in a row of int8.
template <int kPerLane>
__device__ void store_q8(const int8_t (&q8)[kPerLane], int8_t* to) {
  if constexpr (kPerLane == 4) {
    *reinterpret_cast<char4*>(to) = make_char4(q8[0], q8[1], q8[2], q8[3]);
  } else if constexpr (kPerLane == 2) {
    *reinterpret_cast<char2*>(to) = make_char2(q8[0], q8[1]);
  } else {
#pragma unroll
    for (int k = 0; k < kPerLane; ++k) to[k] = q8[k];
  }
}

}  // namespace tq::cuda
