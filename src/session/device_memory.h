// What memory the machine's devices have, and what a model that is converted some way needs of it:
// for plans that depend on it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "convert/plan.h"
#include "session/capacity.h"

namespace tq {

// One sequence that is to be run.
struct MemoryNeeds {
  LoadOptions load;
  int64_t context;  // tokens, or the model's own if that is less
};
// Bytes that a plan's result needs to run so (Capacity::needed_bytes). The function throws what
// Capacity does; the checkpoint must outlive it.
std::function<int64_t(const ConvertPlan&)> memory_needed(const Checkpoint& checkpoint,
                                                         const MemoryNeeds& needs);

// Bytes that a device has in all, in use or not, so that it stays the same on a machine. device: as
// open_device takes it. 0 when nobody knows.
int64_t device_memory(const std::string& device);

// Makes format "auto" depend on whether a plan's result runs on a device as `needs` say. limit: of
// the device's memory; 0: all of it. A source that cannot be run fits everywhere.
void fit_device(const Checkpoint& checkpoint, const std::string& device, int64_t limit,
                const MemoryNeeds& needs, PlanOptions& plan);

}  // namespace tq
