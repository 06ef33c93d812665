// Properties of the GPUs and of the code that runs on them, looked up once each.
#include <algorithm>
#include <cstdlib>
#include <iterator>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ops.h"

namespace tq::cuda {
namespace {

// Never launched: what the loaded code was compiled for is read off it. All files are compiled for
// the same GPUs, so one kernel speaks for all; its launch bounds tell code of sm_90a from others.
constexpr int kSm90aThreads = 64;
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
__global__ void __launch_bounds__(kSm90aThreads) code_kernel() {}
#else
__global__ void __launch_bounds__(kSm90aThreads / 2) code_kernel() {}
#endif

struct KnownGpu {
  int compute;
  int max_shared_bytes;  // of a block (CUDA C++ Programming Guide, compute capabilities)
};
constexpr KnownGpu kKnownGpus[] = {{80, 163 << 10}, {86, 99 << 10},   {89, 99 << 10},
                                   {90, 227 << 10}, {100, 227 << 10}, {120, 99 << 10}};

// What a GPU of TQ_FORCE_GPU's compute capability and this one both have.
void hold_to_forced_gpu(DeviceInfo& info) {
  const char* forced = std::getenv("TQ_FORCE_GPU");
  if (forced == nullptr || *forced == '\0') return;
  const int compute = std::atoi(forced);
  const auto* known = std::find_if(std::begin(kKnownGpus), std::end(kKnownGpus),
                                   [=](const KnownGpu& gpu) { return gpu.compute == compute; });
  if (known == std::end(kKnownGpus)) {
    fail_device("TQ_FORCE_GPU", "not one of 80, 86, 89, 90, 100, 120");
  }
  info.code = std::min(info.code, compute);
  info.sm90a = info.sm90a && compute == 90;
  info.max_shared_bytes = std::min(info.max_shared_bytes, known->max_shared_bytes);
}

DeviceInfo look_up(int device) {
  DeviceInfo info;
  check(cudaDeviceGetAttribute(&info.n_sms, cudaDevAttrMultiProcessorCount, device), "properties");
  check(cudaDeviceGetAttribute(&info.max_shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin,
                               device),
        "properties");
  cudaFuncAttributes loaded{};
  check(cudaFuncGetAttributes(&loaded, code_kernel),
        "no kernels for this GPU in this build (build it with CUDAARCHS=native)");
  info.code = loaded.ptxVersion;
  info.sm90a = loaded.maxThreadsPerBlock == kSm90aThreads;
  info.compiled_by_driver = loaded.ptxVersion < loaded.binaryVersion;
  hold_to_forced_gpu(info);
  return info;
}

}  // namespace

const DeviceInfo& device_info() {
  static PerDevice<DeviceInfo> infos;
  return infos.get(look_up);
}

GpuTarget gpu_target() {
  const DeviceInfo& info = device_info();
  return {info.code, info.sm90a, info.compiled_by_driver, info.max_shared_bytes};
}

const DeviceInfo& imagined_device() {
  static const DeviceInfo h100{90, true, false, 132, 232448};
  static const bool any = [] {
    int devices = 0;
    return cudaGetDeviceCount(&devices) == cudaSuccess && devices > 0;
  }();
  return any ? device_info() : h100;
}

}  // namespace tq::cuda
