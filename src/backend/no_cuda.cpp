// What a build without CUDA says when asked for it.
#include "backend/backend.h"
#include "backend/devices.h"
#include "base/error.h"

namespace tq {

CudaDevices list_cuda_devices() {
  return {{}, "this build has no CUDA (no toolkit was found when it was made)"};
}

CudaKernels list_cuda_kernels() { return {{}, list_cuda_devices().problem}; }

std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& /*options*/) {
  fail(ErrorCode::kDevice, "{}", list_cuda_devices().problem);
}

}  // namespace tq
