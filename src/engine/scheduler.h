// Scheduler: which tokens of which sequences run in the next step. In the order of their
// priorities, and of equal ones first come, first served:
//   1. every sequence that is past its prompt decodes one token,
//   2. prompts under way get what is left of max_batch_tokens, in order (chunked prefill),
//   3. waiting sequences are admitted in order while tokens, places and pages last; but one that
//      begins with a page that a prompt under way is about to fill is held back until it has.
// A sequence gets pages as it grows. Where they do not last, the last sequence in order that runs
// is preempted: it gives its pages back, waits in its place, and computes what is not kept of its
// tokens again when there is room. None that runs gives way to one that waits. README.md has the
// whole contract. Host only; does not own the sequences; used by the engine's thread.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "engine/sequence.h"
#include "kv/pages.h"
#include "model/batch.h"

namespace tq {

struct SchedulerLimits {
  int64_t max_batch_tokens = 512;
  int64_t max_sequences = 64;  // at most max_batch_tokens
};

// One step: sequences[i] runs batch[i].
struct ScheduledStep {
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
  // The pages must be enough for each sequence alone.
  Scheduler(const SchedulerLimits& limits, Pages& pages) : limits_(limits), pages_(pages) {}

  // Puts a sequence in its place in the queue.
  void add(Sequence& sequence);
  // Forgets a sequence, waiting or running. Its pages remain its own.
  void remove(Sequence& sequence);
  // The next step; empty when no sequence is left. Valid until the next call. The caller advances
  // n_cached, publishes full pages and appends sampled tokens before it calls again.
  const ScheduledStep& next();

  size_t n_waiting() const { return waiting_.size(); }
  size_t n_running() const { return running_.size(); }

 private:
  void run(Sequence& sequence, int64_t n_tokens);
  // n tokens of a prompt, or fewer where states are kept: steps then end with a page, one of them
  // where the prompt's state is kept.
  int64_t cut(const Sequence& sequence, int64_t n_tokens) const;
  void preempt(Sequence& sequence);
  // Gives the sequence, which is running_[index], room for n more tokens; preempts later ones that
  // are not in the step yet where that makes room. False when there is none.
  bool make_room(size_t index, int64_t n);
  void decode();
  void prefill();
  void admit();
  // Whether a prompt under way is about to fill a page that this one, which waits, can use.
  bool is_held(const Sequence& sequence) const;
  bool in_step(const Sequence& sequence) const;

  SchedulerLimits limits_;
  Pages& pages_;
  std::deque<Sequence*> waiting_;   // in order of priority, then of arrival
  std::vector<Sequence*> running_;  // likewise
  ScheduledStep step_;
  int64_t budget_ = 0;         // tokens that the step may still get
  bool out_of_pages_ = false;  // in this step: nothing is admitted
  // What was not admitted when so many tokens could have been added to a table: it is not tried
  // again before there are more.
  struct Refused {
    const Sequence* sequence = nullptr;
    int64_t available = 0;
  };
  Refused refused_;
};

}  // namespace tq
