// MemoryPlan: what running a model takes of a device's memory, found out before weights are read,
// so that what does not fit is refused at once and the longest context that fits can be chosen.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "io/checkpoint.h"
#include "model/model.h"

namespace tq {

struct MemoryPlan {
  int64_t limit_bytes = 0;   // 0: none
  int64_t in_use_bytes = 0;  // by the backend itself
  int64_t weight_bytes = 0;
  int64_t scratch_bytes = 0;  // of forward calls
  int64_t kv_bytes = 0;
  int64_t sequences = 0;
  int64_t context = 0;      // tokens of each
  int64_t max_context = 0;  // the model's

  int64_t total_bytes() const { return in_use_bytes + weight_bytes + scratch_bytes + kv_bytes; }
  bool fits() const { return limit_bytes == 0 || total_bytes() <= limit_bytes; }
  // One line: "weights 10.6 GB, buffers 320 MB, KV cache 1.2 GB (4 x 8192 tokens): 12.1 of 12.9
  // GB".
  std::string text() const;
};

// Plans sequences and contexts for a checkpoint that is to be loaded in some way.
class MemoryPlanner {
 public:
  // limit_bytes: what the device may give in all; 0: no limit. The others must outlive the planner.
  MemoryPlanner(const Checkpoint& checkpoint, const Backend& backend, const LoadOptions& options,
                KvDType kv_dtype, int64_t limit_bytes)
      : checkpoint_(checkpoint),
        backend_(backend),
        options_(options),
        kv_dtype_(kv_dtype),
        limit_bytes_(limit_bytes) {}

  // For the options' max_batch_tokens and a context; 0 is the model's own.
  MemoryPlan plan(int64_t context) const { return plan(context, options_.max_batch_tokens); }
  // The longest context that fits, at most `most` tokens (0: the model's own); 0 if none does.
  int64_t longest_context(int64_t most) const;
  // Throws kOutOfMemory for a plan that does not fit, with its numbers and what would make it fit.
  void check_fits(const MemoryPlan& plan) const;

 private:
  MemoryPlan plan(int64_t context, int64_t batch_tokens) const;
  int64_t longest_context(int64_t most, int64_t batch_tokens) const;
  // Options that each would make a plan fit.
  std::vector<std::string> ways_to_fit(const MemoryPlan& refused) const;

  const Checkpoint& checkpoint_;
  const Backend& backend_;
  const LoadOptions& options_;
  KvDType kv_dtype_;
  int64_t limit_bytes_;
};

// Host memory that could be had without swapping, bytes; 0 if the system does not say.
int64_t available_host_memory();

}  // namespace tq
