#include "engine/scheduler.h"

#include <algorithm>

namespace tq {

void Scheduler::remove(Sequence& sequence) {
  std::erase(waiting_, &sequence);
  std::erase(running_, &sequence);
}

void Scheduler::run(Sequence& sequence, int64_t n_tokens) {
  const bool complete = n_tokens == sequence.n_pending();
  const auto tokens =
      std::span<const int32_t>(sequence.tokens)
          .subspan(static_cast<size_t>(sequence.n_cached), static_cast<size_t>(n_tokens));
  step_.sequences.push_back(&sequence);
  step_.batch.push_back({.token_ids = tokens,
                         .first_position = sequence.n_cached,
                         .blocks = &sequence.blocks,
                         .n_logits = complete ? 1 : 0});
}

const Step& Scheduler::next() {
  step_.sequences.clear();
  step_.batch.clear();
  int64_t budget = limits_.max_batch_tokens;
  for (Sequence* sequence : running_) {
    if (sequence->n_pending() == 1) {
      run(*sequence, 1);
      --budget;
    }
  }
  for (Sequence* sequence : running_) {
    if (sequence->n_pending() > 1 && budget > 0) {
      const int64_t n_tokens = std::min(budget, sequence->n_pending());
      run(*sequence, n_tokens);
      budget -= n_tokens;
    }
  }
  while (!waiting_.empty() && budget > 0 &&
         static_cast<int64_t>(running_.size()) < limits_.max_sequences) {
    Sequence& sequence = *waiting_.front();
    if (!blocks_.reserve(sequence.blocks, sequence.max_cached())) break;
    waiting_.pop_front();
    running_.push_back(&sequence);
    const int64_t n_tokens = std::min(budget, sequence.n_pending());
    run(sequence, n_tokens);
    budget -= n_tokens;
  }
  return step_;
}

}  // namespace tq
