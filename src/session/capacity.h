// Capacity: what a model takes of a memory that need not be this machine's, and the longest context
// that fits it, from the index of its tensors alone. For tq inspect, tq plan and tq convert --fit.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "session/memory_plan.h"

namespace tq {

// What graphics cards have.
constexpr std::array<int64_t, 5> kCommonMemoryGib = {8, 12, 16, 24, 48};

class Capacity {
 public:
  // Left out of a memory: what a GPU takes besides, its driver and larger buffers than the CPU's,
  // with which this counts.
  static constexpr int64_t kReserveBytes = int64_t{512} << 20;

  // options: the batch, the KV cache, and format_for to compress at load; one sequence. Throws what
  // Model::measure does. The checkpoint must outlive this.
  Capacity(const Checkpoint& checkpoint, LoadOptions options);
  Capacity(const Capacity&) = delete;  // the planner refers to the options
  Capacity& operator=(const Capacity&) = delete;

  // For one sequence of `context` tokens (0: the model's own), all weights in memory.
  MemoryPlan plan(int64_t context) const { return planner_.plan(context); }
  // Bytes of memory needed for that, with the reserve.
  int64_t needed_bytes(int64_t context) const {
    return plan(context).total_bytes() + kReserveBytes;
  }
  // The longest context that memory_bytes hold with the reserve; 0: none.
  int64_t longest_context(int64_t memory_bytes) const;
  // Conversations of `context` tokens that memory_bytes hold at a time with the reserve; 0: none.
  int64_t most_sequences(int64_t memory_bytes, int64_t context) const;

 private:
  std::unique_ptr<Backend> backend_;  // only asked for sizes
  LoadOptions options_;
  MemoryPlanner planner_;
};

}  // namespace tq
