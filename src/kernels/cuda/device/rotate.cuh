// The signed Walsh-Hadamard rotation of a group by one warp. The order of operations is that of
// format/hadamard.cpp, so that the bits are the same.
#pragma once

#include <cstdint>

#include "kernels/cuda/device/common.cuh"

namespace tq::cuda {

// Bit i of a mask: the sign of coordinate i is +.
struct RotationMasks {
  uint32_t d1[8];
  uint32_t d2[8];
  float scale;  // 1 / sqrt(group)
};

// A lane holds the kGroup / 32 neighbouring coordinates from lane * kPerLane.
template <int kGroup>
struct RotatedGroup {
  static constexpr int kPerLane = kGroup / kWarp;
  float x[kPerLane];

  // x <- post * H * pre * x * scale; bit i of a mask set: the sign is +.
  __device__ void rotate(const uint32_t* pre, const uint32_t* post, float scale, int lane) {
    flip_signs(pre, lane);
#pragma unroll
    for (int step = 1; step < kPerLane; step *= 2) {
#pragma unroll
      for (int k = 0; k < kPerLane; ++k) {
        if ((k & step) != 0) continue;
        const float a = x[k], b = x[k + step];
        x[k] = a + b;
        x[k + step] = a - b;
      }
    }
#pragma unroll
    for (int step = 1; step < kWarp; step *= 2) {
      const float sign = (lane & step) != 0 ? -1.0f : 1.0f;  // fmaf: a sum with one rounding
#pragma unroll
      for (int k = 0; k < kPerLane; ++k) {
        x[k] = fmaf(x[k], sign, __shfl_xor_sync(kAllLanes, x[k], step));
      }
    }
#pragma unroll
    for (int k = 0; k < kPerLane; ++k) x[k] = __fmul_rn(x[k], scale);
    flip_signs(post, lane);
  }

  __device__ void flip_signs(const uint32_t* mask, int lane) {
    const int first = lane * kPerLane;
    const uint32_t bits = ~mask[first / 32] >> (first % 32);
#pragma unroll
    for (int k = 0; k < kPerLane; ++k) {
      x[k] = __uint_as_float(__float_as_uint(x[k]) ^ (bits << (31 - k) & 0x80000000u));
    }
  }
};

}  // namespace tq::cuda
