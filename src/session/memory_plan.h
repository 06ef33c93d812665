// MemoryPlan: what running a model takes of a device's memory, found out before weights are read,
// so that what does not fit is refused at once and the longest context that fits can be chosen.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "io/checkpoint.h"
#include "model/model_meter.h"

namespace tq {

struct MemoryPlan {
  int64_t limit_bytes = 0;   // 0: none
  int64_t in_use_bytes = 0;  // by the backend itself
  int64_t weight_bytes = 0;
  // Of these: read in place from files. The system keeps as many of them in memory as it can, so
  // that what it lacks costs time.
  int64_t mapped_bytes = 0;
  int64_t scratch_bytes = 0;  // of forward calls
  int64_t kv_bytes = 0;
  int64_t sequences = 0;
  int64_t context = 0;  // tokens of each at most
  int64_t n_pages = 0;  // of the KV cache, in layers without a window (EngineOptions::n_pages)
  bool shares_pages = false;  // they may be too few for all sequences at their longest
  int64_t max_context = 0;    // the model's

  int64_t total_bytes() const { return in_use_bytes + weight_bytes + scratch_bytes + kv_bytes; }
  bool fits() const { return limit_bytes == 0 || total_bytes() <= limit_bytes; }
  // Whether all but the mapped weights fits: without that it cannot run.
  bool runs() const { return limit_bytes == 0 || total_bytes() - mapped_bytes <= limit_bytes; }
  // One line: "weights 10.6 GB (10.2 GB mapped), buffers 320 MB, KV cache 1.2 GB (4 x 8192 tokens):
  // 12.1 GB of 12.9 GB"; of shared pages "(65536 tokens for 8 at a time, 32768 each at most)".
  std::string text() const;
};

// What the memory must hold.
enum class MustFit : uint8_t {
  kAll,
  kAllButMapped,  // files take what is left
};

// Plans sequences and contexts for a checkpoint that is to be loaded in some way.
class MemoryPlanner {
 public:
  // limit_bytes: what the device may give in all; 0: no limit. Backend and options must outlive the
  // planner. Throws what ModelMeter does, and kUnsupported where the backend has no kernels for the
  // KV format, or check_kv_format throws.
  MemoryPlanner(const Checkpoint& checkpoint, const Backend& backend, const LoadOptions& options,
                int64_t limit_bytes);
  // The same for another limit.
  MemoryPlanner with_limit(int64_t limit_bytes) const {
    MemoryPlanner other = *this;
    other.limit_bytes_ = limit_bytes;
    return other;
  }
  int64_t limit_bytes() const { return limit_bytes_; }
  // The same for sequences that share the KV cache: it holds at least one of them at its longest,
  // and as much more as fits, up to all of them.
  MemoryPlanner with_shared_pages() const {
    MemoryPlanner other = *this;
    other.shares_pages_ = true;
    return other;
  }

  // For the options' max_batch_tokens and a context; 0 is the model's own.
  MemoryPlan plan(int64_t context) const { return plan(context, options_.max_batch_tokens); }
  // The longest context that fits, at most `most` tokens (0: the model's own); 0 if none does.
  int64_t longest_context(int64_t most, MustFit what = MustFit::kAll) const;
  // How many sequences of `context` tokens have room at a time for all that they keep, near pages
  // included; 0: not one.
  int64_t most_sequences(int64_t context) const;
  // Throws kOutOfMemory for a plan that cannot run, with its numbers and what would make it run.
  void check_runs(const MemoryPlan& plan) const;

 private:
  MemoryPlan plan(int64_t context, int64_t batch_tokens) const;
  int64_t longest_context(int64_t most, int64_t batch_tokens, MustFit what) const;
  // Options that each would make a plan fit.
  std::vector<std::string> ways_to_fit(const MemoryPlan& refused) const;

  std::shared_ptr<const ModelMeter> meter_;
  const Backend& backend_;
  const LoadOptions& options_;
  int64_t limit_bytes_;
  bool shares_pages_ = false;
};

// The plan for a model that computes on the host, where the planner's limit is what is available
// (base/host_memory.h; 0: nobody knows). Without a context it is the longest with which all fits in
// seven eighths of that; where weights that are mapped are too many for it, or nothing is known,
// `fallback` tokens, or as many of them as can run. Throws what check_runs throws.
MemoryPlan plan_host_memory(const MemoryPlanner& planner, std::optional<int64_t> context,
                            int64_t fallback);

}  // namespace tq
