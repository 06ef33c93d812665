// Launching a kernel: checked, and with programmatic dependent launch where the loaded code has it.
// Every kernel launched through here begins with start_kernel() or calls wait_for_previous() before
// it touches memory that an earlier kernel writes (device/common.cuh). Private to kernels/cuda.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <cstdint>
#include <mutex>

#include "kernels/cuda/cuda_error.h"

namespace tq::cuda {

inline void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess) fail_device(what, cudaGetErrorString(error));
}

// Something that is found out once for each GPU, however many threads ask.
template <typename T>
class PerDevice {
 public:
  // Of the current device: what find(device) returned the first time.
  template <typename Find>
  const T& get(Find find) {
    int device = 0;
    check(cudaGetDevice(&device), "asking for the current GPU");
    if (device >= kMaxDevices) fail_device("asking for the current GPU", "more than 64 GPUs");
    std::call_once(once_[device], [&] { values_[device] = find(device); });
    return values_[device];
  }

 private:
  static constexpr int kMaxDevices = 64;
  std::array<T, kMaxDevices> values_{};
  std::array<std::once_flag, kMaxDevices> once_;
};

// What may be relied on. Instructions are those that the loaded code was compiled for, which may be
// fewer than the GPU has: of a build for compute_80 alone, which the driver compiles for any newer
// GPU, everything that device code guards with a newer __CUDA_ARCH__ is missing.
struct DeviceInfo {
  int code = 0;  // compute capability that the loaded code was written for: 10 * major + minor
  bool sm90a = false;  // the loaded code has the instructions that only sm_90a has
  // The driver compiled it at the first start from code for older GPUs, and will again after an
  // update.
  bool compiled_by_driver = false;
  int n_sms = 0;
  int max_shared_bytes = 0;  // of a block
};
// Of the current device. Throws kDevice where the build has no code for it. The environment
// variable TQ_FORCE_GPU=86 (or 80, 89, 90, 100, 120) holds it to what a GPU of that compute
// capability has: for tests of the paths that other GPUs take.
const DeviceInfo& device_info();
// The same, or an H100 where there is no GPU: for choices that are also asked about and not made.
const DeviceInfo& imagined_device();

struct LaunchShape {
  dim3 grid;
  dim3 block;
  size_t shared_bytes = 0;
  unsigned cluster = 1;  // blocks along x; more than one where device_info().code >= 90
};

template <typename... Params, typename... Args>
void launch(const char* name, void (*kernel)(Params...), const LaunchShape& shape,
            cudaStream_t stream, const Args&... args) {
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) return;
  const DeviceInfo& device = device_info();
  if (shape.shared_bytes > static_cast<size_t>(device.max_shared_bytes)) {
    fail_device(name, "a block of this GPU has less shared memory than the kernel needs");
  }
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
  config.numAttrs = device.code < 90 ? 0 : shape.cluster > 1 ? 2 : 1;
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Params>(args)...), name);
}

// Lets launches of the kernel use `most` bytes of dynamic shared memory, or all that a block can
// have on this GPU where that is less: whether a launch fits is for its caller to know.
template <auto kKernel>
void allow_shared(const char* name, int64_t most) {
  static PerDevice<cudaError_t> allowed;
  check(allowed.get([most](int) {
    cudaFuncAttributes attributes{};
    const cudaError_t error = cudaFuncGetAttributes(&attributes, kKernel);
    if (error != cudaSuccess) return error;
    const auto left =
        device_info().max_shared_bytes - static_cast<int64_t>(attributes.sharedSizeBytes);
    return cudaFuncSetAttribute(kKernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                static_cast<int>(most < left ? most : left));
  }),
        name);
}

inline unsigned blocks_for(int64_t n, int64_t per_block) {
  return static_cast<unsigned>((n + per_block - 1) / per_block);
}

}  // namespace tq::cuda
