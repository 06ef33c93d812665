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
#pragma unroll
    for (int k = 0; k < kPerLane; ++k) x[k] = signed_by(pre, lane * kPerLane + k, x[k]);
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
#pragma unroll
      for (int k = 0; k < kPerLane; ++k) {
        const float other = __shfl_xor_sync(kAllLanes, x[k], step);
        x[k] = (lane & step) != 0 ? other - x[k] : x[k] + other;
      }
    }
#pragma unroll
    for (int k = 0; k < kPerLane; ++k) {
      x[k] = signed_by(post, lane * kPerLane + k, __fmul_rn(x[k], scale));
    }
  }

  __device__ static float signed_by(const uint32_t* mask, int i, float value) {
    return ((mask[i / 32] >> (i % 32)) & 1) != 0 ? value : -value;
  }
};

}  // namespace tq::cuda
