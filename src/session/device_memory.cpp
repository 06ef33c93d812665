#include "session/device_memory.h"

#include <fmt/format.h>

#include <algorithm>

#include "backend/devices.h"
#include "base/error.h"
#include "base/host_memory.h"
#include "base/human.h"
#include "model/arch/registry.h"
#include "session/load.h"
#include "session/open.h"

namespace tq {

std::function<int64_t(const ConvertPlan&)> memory_needed(const Checkpoint& checkpoint,
                                                         const MemoryNeeds& needs) {
  return [&checkpoint, needs](const ConvertPlan& plan) {
    LoadOptions load = needs.load;
    load.format_for = formats_at_load(checkpoint, plan);
    const int64_t context = std::min(needs.context, read_spec(checkpoint).max_position);
    return Capacity(checkpoint, load).needed_bytes(context);
  };
}

int64_t device_memory(const std::string& device) {
  const std::string name = resolve_device(device);
  if (name == "cpu") return total_host_memory();
  for (const CudaDevice& cuda : list_cuda_devices().devices) {
    if (name == "cuda" || name == fmt::format("cuda:{}", cuda.index)) return cuda.memory_bytes;
  }
  return 0;
}

void fit_device(const Checkpoint& checkpoint, const std::string& device, int64_t limit,
                const MemoryNeeds& needs, PlanOptions& plan) {
  if (plan.format != "auto" || !plan.preset.empty()) return;  // nobody asks
  const std::string name = resolve_device(device);
  const int64_t all = device_memory(name);
  const int64_t bytes = limit > 0 && all > 0 ? std::min(limit, all) : std::max(limit, all);
  if (bytes == 0) return;
  plan.fits_in = fmt::format("the {} of this machine's {}", human_bytes(static_cast<double>(bytes)),
                             name == "cpu" ? "memory" : "GPU");
  plan.fits = [bytes_of = memory_needed(checkpoint, needs), bytes](const ConvertPlan& made) {
    try {
      return bytes_of(made) <= bytes;
    } catch (const Error&) {
      return true;
    }
  };
}

}  // namespace tq
