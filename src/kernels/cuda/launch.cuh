// Launching a kernel: checked, and with programmatic dependent launch where the GPU has it. Every
// kernel launched through here begins with start_kernel() or calls wait_for_previous() before it
// touches memory that an earlier kernel writes (device/common.cuh). Private to kernels/cuda.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/cuda_error.h"

namespace tq::cuda {

inline void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess) fail_device(what, cudaGetErrorString(error));
}

struct DeviceInfo {
  int compute = 0;  // 10 * major + minor
  int n_sms = 0;
  int max_shared_bytes = 0;  // of a block
};
// Of the current device.
const DeviceInfo& device_info();
// The same, or an H100 where there is no GPU: for choices that are also asked about and not made.
const DeviceInfo& imagined_device();

struct LaunchShape {
  dim3 grid;
  dim3 block;
  size_t shared_bytes = 0;
  unsigned cluster = 1;  // blocks along x; more than one from compute capability 9.0 on
};

template <typename... Params, typename... Args>
void launch(const char* name, void (*kernel)(Params...), const LaunchShape& shape,
            cudaStream_t stream, const Args&... args) {
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) return;
  cudaLaunchConfig_t config = {};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = stream;
  cudaLaunchAttribute attributes[2];
  attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[0].val.programmaticStreamSerializationAllowed = 1;
  attributes[1].id = cudaLaunchAttributeClusterDimension;
  attributes[1].val.clusterDim = {shape.cluster, 1, 1};
  config.attrs = attributes;
  config.numAttrs = device_info().compute < 90 ? 0 : shape.cluster > 1 ? 2 : 1;
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Params>(args)...), name);
}

inline unsigned blocks_for(int64_t n, int64_t per_block) {
  return static_cast<unsigned>((n + per_block - 1) / per_block);
}

}  // namespace tq::cuda
