// Errors of the CUDA runtime as tq::Error, for host code.
#pragma once

#include <cuda_runtime_api.h>

#include "base/error.h"

namespace tq::cuda {

// Throws kDevice: "CUDA: <what>: <error>".
inline void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess) {
    fail(ErrorCode::kDevice, "CUDA: {}: {}", what, cudaGetErrorString(error));
  }
}

}  // namespace tq::cuda
