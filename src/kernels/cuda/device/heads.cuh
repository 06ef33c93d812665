// One head on its way from a projection to attention: its norm and its rotary embedding, by one
// warp in shared memory.
#pragma once

#include "kernels/cuda/device/common.cuh"

namespace tq::cuda {

// `n` floats to shared memory, all of them on their way at once; there after wait_fetched().
__device__ __forceinline__ void fetch_floats(const float* from, float* to, int n, int lane) {
  for (int i = lane; i < n; i += kWarp) copy_async4(shared_address(to + i), from + i);
}
__device__ __forceinline__ void wait_fetched() {
  commit_copies();
  wait_copies<0>();
  __syncwarp();
}

// x <- x / rms(x) * weight (null: 1).
__device__ __forceinline__ void norm_head(float* x, int dim, const float* weight, float eps,
                                          int lane) {
  constexpr int kAtOnce = 8;  // loads in flight
  float sum = 0;
#pragma unroll kAtOnce
  for (int i = lane; i < dim; i += kWarp) sum += x[i] * x[i];
  sum = warp_sum(sum);
  const float scale = 1.0f / sqrtf(sum / static_cast<float>(dim) + eps);
#pragma unroll kAtOnce
  for (int i = lane; i < dim; i += kWarp) {
    const float normed = x[i] * scale;
    x[i] = weight == nullptr ? normed : normed * weight[i];
  }
  __syncwarp();
}

// RopeArgs of one head; cos and sin are its token's.
__device__ __forceinline__ void rotate_head(float* x, int n_pairs, bool interleaved,
                                            const float* cos, const float* sin, int lane) {
  const int distance = interleaved ? 1 : n_pairs;
#pragma unroll 4
  for (int j = lane; j < n_pairs; j += kWarp) {
    float* first = x + (interleaved ? 2 * j : j);
    const float cosine = cos[j];
    const float sine = sin[j];
    const float a = first[0];
    const float b = first[distance];
    first[0] = a * cosine - b * sine;
    first[distance] = b * cosine + a * sine;
  }
  __syncwarp();
}

}  // namespace tq::cuda
