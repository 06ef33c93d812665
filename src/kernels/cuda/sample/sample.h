// Sampling on the GPU. Nothing here synchronises, allocates or reads device memory on the host.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/ops/sample.h"

namespace tq::cuda {

// Chooses the tokens that RowSampler (kernels/cpu/sample.h) chooses.
void sample(const SampleArgs& args, cudaStream_t stream);

}  // namespace tq::cuda
