// Scheduler: which tokens of which sequences run in the next step. First come, first served:
//   1. every sequence that is past its prompt decodes one token,
//   2. prompts under way get what is left of max_batch_tokens, in order of arrival (chunked
//      prefill),
//   3. waiting sequences are admitted in order while tokens, places and pages last.
// A sequence is admitted with all the pages it can ever need (prompt + max_tokens), so that nothing
// admitted waits for pages or is thrown out again; one that cannot get them waits, and so do those
// behind it. Host only; does not own the sequences; used by the engine's thread.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "engine/sequence.h"
#include "kv/block_manager.h"
#include "model/batch.h"

namespace tq {

struct SchedulerLimits {
  int64_t max_batch_tokens = 512;
  int64_t max_sequences = 64;  // at most max_batch_tokens
};

// One step: sequences[i] runs batch[i].
struct Step {
  std::vector<Sequence*> sequences;
  std::vector<BatchSequence> batch;
  // Rows of logits that the batch asks for.
  int64_t n_logits() const {
    int64_t n = 0;
    for (const BatchSequence& run : batch) n += run.n_logits;
    return n;
  }
};

class Scheduler {
 public:
  Scheduler(const SchedulerLimits& limits, BlockManager& blocks)
      : limits_(limits), blocks_(blocks) {}

  // Puts a sequence at the end of the queue.
  void add(Sequence& sequence) { waiting_.push_back(&sequence); }
  // Forgets a sequence, waiting or running. Its pages remain its own.
  void remove(Sequence& sequence);
  // The next step; empty when nothing can run. Valid until the next call. The caller advances
  // n_cached and appends sampled tokens before it calls again.
  const Step& next();

  size_t n_waiting() const { return waiting_.size(); }
  size_t n_running() const { return running_.size(); }
  // The first of the queue, which is blocked when next() gives nothing; null for an empty queue.
  Sequence* first_waiting() const { return waiting_.empty() ? nullptr : waiting_.front(); }

 private:
  void run(Sequence& sequence, int64_t n_tokens);

  SchedulerLimits limits_;
  BlockManager& blocks_;
  std::deque<Sequence*> waiting_;
  std::vector<Sequence*> running_;  // in order of arrival
  Step step_;
};

}  // namespace tq
