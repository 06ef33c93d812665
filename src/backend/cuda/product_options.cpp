#include "backend/cuda/product_options.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"

namespace tq::cuda {
namespace {

Tier find_tier(const std::string& name) {
  if (name == "auto") return Tier::kAuto;
  if (name == "fused") return Tier::kFused;
  if (name == "dequant") return Tier::kDequant;
  if (name == "reference") return Tier::kReference;
  fail(ErrorCode::kInvalidArgument, "no kernels are called \"{}\": auto, fused, dequant, reference",
       name);
}

}  // namespace

BackendProducts::BackendProducts(const CudaOptions& options)
    : options_(find_tier(options.kernels)) {
  options_.exact = options.exact;
  options_.batch_invariant = options.batch_invariant;
  options_.cublaslt = cublaslt_built();  // until it is looked for
}

ProductOptions BackendProducts::options(bool beside) const {
  ProductOptions options = options_;
  const Buffer& scratch = scratch_[beside ? 1 : 0];
  options.scratch = scratch.empty() ? nullptr : const_cast<uint8_t*>(scratch.data());
  return options;
}

int64_t BackendProducts::bytes_for(std::span<const WeightView> weights) const {
  int wanted = 0;
  for (const WeightView& weight : weights) {
    wanted = std::max(wanted, wanted_scratches(weight, options_));
  }
  int64_t bytes = 0;
  for (int i = 0; i < wanted; ++i) {
    if (scratch_[static_cast<size_t>(i)].empty()) bytes += int64_t{kProductScratch};
  }
  return bytes;
}

void BackendProducts::make_room_for(const WeightView& weight, DeviceMemory& memory) {
  const int wanted = wanted_scratches(weight, options_);
  for (int i = 0; i < wanted; ++i) {
    Buffer& scratch = scratch_[static_cast<size_t>(i)];
    if (!scratch.empty()) continue;
    scratch = memory.allocate(kProductScratch);
    const char* problem = i == 0 ? cublaslt_problem() : nullptr;
    if (problem == nullptr) continue;
    options_.cublaslt = false;
    // Kernels of our own do without it.
    if (!options_.batch_invariant) info("GPU products without cuBLASLt: {}", problem);
  }
}

}  // namespace tq::cuda
