// The instances of the fused kernel, one source a kind of codes (code_kinds.h).
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

template <int kKind>
void run_fused(const FusedCall& call, cudaStream_t stream);

}  // namespace tq::cuda
