// Reductions over a block of threads.
#pragma once

#include "kernels/cuda/device/common.cuh"

namespace tq::cuda {

// The sum over the block, in every thread. Threads are a multiple of 32, at most 1024.
template <typename T>
__device__ T block_sum(T x) {
  __shared__ T sums[kWarp];
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
  const int warps = blockDim.x / kWarp;
  __syncthreads();  // whoever reduced before is done reading
  if (threadIdx.x % kWarp == 0) sums[threadIdx.x / kWarp] = x;
  __syncthreads();
  x = threadIdx.x % kWarp < warps ? sums[threadIdx.x % kWarp] : T{0};
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
  return x;
}

// The same of several numbers at once.
template <int kN>
__device__ void block_sums(float (&x)[kN]) {
  __shared__ float sums[kN][kWarp];
  const int warps = blockDim.x / kWarp;
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int i = 0; i < kN; ++i) x[i] = warp_sum(x[i]);
  __syncthreads();  // whoever reduced before is done reading
  if (lane == 0) {
#pragma unroll
    for (int i = 0; i < kN; ++i) sums[i][threadIdx.x / kWarp] = x[i];
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kN; ++i) x[i] = warp_sum(lane < warps ? sums[i][lane] : 0.0f);
}

}  // namespace tq::cuda
