// The activations of a gated layer.
#pragma once

#include "kernels/op_types.h"

namespace tq::cuda {

__device__ __forceinline__ float activate(Activate kind, float x) {
  switch (kind) {
    case Activate::kSilu:
      return x / (1.0f + __expf(-x));
    case Activate::kGeluTanh:  // x/2 (1 + tanh(u)) = x / (1 + e^-2u): no cancellation
      return x / (1.0f + __expf(-1.5957691216f * (x + 0.044715f * x * x * x)));
    default:
      return 0.5f * x * erfcf(-x * 0.70710678119f);
  }
}

}  // namespace tq::cuda
