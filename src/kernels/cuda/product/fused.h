// The instances of the fused kernel: one file a width of codes, as they take long to compile.
// Private to kernels/cuda.
#pragma once

#include "kernels/cuda/device/fused.cuh"
#include "kernels/cuda/launch.cuh"

namespace tq::cuda {

struct FusedCall {
  FusedParams params;
  int group;
  bool gated;
  int64_t tokens_each;  // tokens of a matrix, about
  int64_t pairs;
};

template <int kBits>
void run_fused(const FusedCall& call, cudaStream_t stream);

extern template void run_fused<2>(const FusedCall&, cudaStream_t);
extern template void run_fused<3>(const FusedCall&, cudaStream_t);
extern template void run_fused<4>(const FusedCall&, cudaStream_t);
extern template void run_fused<5>(const FusedCall&, cudaStream_t);
extern template void run_fused<6>(const FusedCall&, cudaStream_t);
extern template void run_fused<8>(const FusedCall&, cudaStream_t);

}  // namespace tq::cuda
