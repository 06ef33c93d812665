// The kernels of the build, from the lists that calls are dispatched by.
#include "kernels/cuda/kernel_list.h"

#include "backend/devices.h"

namespace tq {

CudaKernels list_cuda_kernels() {
  CudaKernels list;
  const auto add = [&](const std::vector<cuda::KernelUse>& uses) {
    for (const cuda::KernelUse& use : uses) {
      list.kernels.push_back({std::string(use.op), use.format, use.group, std::string(use.tier),
                              std::string(use.kernel), std::string(use.limits), use.from, use.to});
    }
  };
  add(cuda::list_product_kernels());
  add(cuda::list_attention_kernels());
  return list;
}

}  // namespace tq
