// Properties of the GPUs, looked up once each.
#include <array>
#include <mutex>

#include "kernels/cuda/launch.cuh"

namespace tq::cuda {

const DeviceInfo& device_info() {
  constexpr int kMaxDevices = 64;
  static std::array<DeviceInfo, kMaxDevices> infos;
  static std::array<std::once_flag, kMaxDevices> once;
  int device = 0;
  check(cudaGetDevice(&device), "asking for the current GPU");
  if (device >= kMaxDevices) fail_call("more than 64 GPUs");
  std::call_once(once[device], [device] {
    int major = 0, minor = 0, n_sms = 0, shared = 0;
    check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "properties");
    check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device), "properties");
    check(cudaDeviceGetAttribute(&n_sms, cudaDevAttrMultiProcessorCount, device), "properties");
    check(cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
          "properties");
    infos[device] = {10 * major + minor, n_sms, shared};
  });
  return infos[device];
}

const DeviceInfo& imagined_device() {
  static const DeviceInfo h100{90, 132, 232448};
  static const bool any = [] {
    int devices = 0;
    return cudaGetDeviceCount(&devices) == cudaSuccess && devices > 0;
  }();
  return any ? device_info() : h100;
}

}  // namespace tq::cuda
