#include "session/capacity.h"

#include <utility>

namespace tq {
namespace {

LoadOptions one_sequence(LoadOptions options) {
  options.max_sequences = 1;
  options.max_logit_rows = 1;
  return options;
}

}  // namespace

Capacity::Capacity(const Checkpoint& checkpoint, LoadOptions options)
    : backend_(make_cpu_backend({.threads = 1})),
      options_(one_sequence(std::move(options))),
      planner_(checkpoint, *backend_, options_, 0) {}

int64_t Capacity::longest_context(int64_t memory_bytes) const {
  if (memory_bytes <= kReserveBytes) return 0;
  return planner_.with_limit(memory_bytes - kReserveBytes).longest_context(0);
}

int64_t Capacity::most_sequences(int64_t memory_bytes, int64_t context) const {
  if (memory_bytes <= kReserveBytes) return 0;
  return planner_.with_limit(memory_bytes - kReserveBytes).most_sequences(context);
}

}  // namespace tq
