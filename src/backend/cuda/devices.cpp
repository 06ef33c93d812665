// Which GPUs there are, as the CUDA runtime tells.
#include "backend/devices.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <string>

namespace tq {
namespace {

// The runtime says that a driver is too old, also where there is none.
std::string why_no_devices(cudaError_t error) {
  int driver = 0, needed = 0;  // 1000 * major + 10 * minor; 0: no driver
  if (error != cudaErrorInsufficientDriver || cudaDriverGetVersion(&driver) != cudaSuccess ||
      cudaRuntimeGetVersion(&needed) != cudaSuccess) {
    return cudaGetErrorString(error);
  }
  if (driver == 0) return "there is no NVIDIA driver";
  const auto version = [](int v) { return fmt::format("{}.{}", v / 1000, v % 1000 / 10); };
  return fmt::format("the NVIDIA driver supports CUDA up to {}, this build needs {}: update it",
                     version(driver), version(needed));
}

}  // namespace

CudaDevices list_cuda_devices() {
  CudaDevices found;
  int n = 0;
  const cudaError_t error = cudaGetDeviceCount(&n);
  if (error != cudaSuccess) {
    found.problem = why_no_devices(error);
    return found;
  }
  for (int i = 0; i < n; ++i) {
    cudaDeviceProp properties{};
    if (cudaGetDeviceProperties(&properties, i) != cudaSuccess) continue;
    found.devices.push_back({i, properties.name, properties.major, properties.minor,
                             static_cast<int64_t>(properties.totalGlobalMem)});
  }
  return found;
}

}  // namespace tq
