#include "engine/scheduler.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace tq {
namespace {

// Numbers of sequences grow with their arrival.
bool goes_before(const Sequence* a, const Sequence* b) {
  return std::pair(a->request.priority, a->id) < std::pair(b->request.priority, b->id);
}

// Puts the sequence where it belongs.
template <typename List>
void insert_in_order(List& list, Sequence& sequence) {
  list.insert(std::upper_bound(list.begin(), list.end(), &sequence, goes_before), &sequence);
}

}  // namespace

void Scheduler::add(Sequence& sequence) { insert_in_order(waiting_, sequence); }

void Scheduler::remove(Sequence& sequence) {
  std::erase(waiting_, &sequence);
  std::erase(running_, &sequence);
  refused_ = {};
}

void Scheduler::run(Sequence& sequence, int64_t n_tokens) {
  const bool complete = n_tokens == sequence.n_pending();
  const auto tokens =
      std::span<const int32_t>(sequence.tokens)
          .subspan(static_cast<size_t>(sequence.n_cached), static_cast<size_t>(n_tokens));
  step_.sequences.push_back(&sequence);
  step_.batch.push_back({.token_ids = tokens,
                         .first_position = sequence.n_cached,
                         .pages = &sequence.pages,
                         .n_logits = complete ? 1 : 0});
  budget_ -= n_tokens;
}

int64_t Scheduler::cut(const Sequence& sequence, int64_t n_tokens) const {
  if (!pages_.keeps_states()) return n_tokens;
  const int64_t begin = sequence.n_cached;
  const int64_t end = begin + n_tokens;
  const int64_t keep = sequence.keep_end();
  if (begin < keep && keep < end) return keep - begin;
  const int64_t page = end / kKvBlockTokens * kKvBlockTokens;
  return n_tokens < sequence.n_pending() && page > begin ? page - begin : n_tokens;
}

void Scheduler::preempt(Sequence& sequence) {
  pages_.retire(sequence.pages, sequence.cached_tokens());
  sequence.n_cached = 0;
  ++sequence.stats.preemptions;
  std::erase(running_, &sequence);
  insert_in_order(waiting_, sequence);
  out_of_pages_ = true;
}

bool Scheduler::in_step(const Sequence& sequence) const {
  return std::find(step_.sequences.begin(), step_.sequences.end(), &sequence) !=
         step_.sequences.end();
}

bool Scheduler::make_room(size_t index, int64_t n) {
  Sequence& sequence = *running_[index];
  while (!pages_.grow(sequence.pages, sequence.n_cached + n)) {
    size_t last = running_.size() - 1;
    while (last > index && in_step(*running_[last])) --last;
    if (last == index) return false;
    preempt(*running_[last]);
  }
  return true;
}

void Scheduler::decode() {
  for (size_t i = 0; i < running_.size(); ++i) {
    if (running_[i]->n_pending() != 1) continue;
    if (make_room(i, 1)) {
      run(*running_[i], 1);
    } else {  // it is the last itself
      TQ_CHECK(i > 0, "the pages are too few for one sequence");
      preempt(*running_[i]);
    }
  }
}

void Scheduler::prefill() {
  for (size_t i = 0; i < running_.size() && budget_ > 0; ++i) {
    Sequence& sequence = *running_[i];
    if (in_step(sequence)) continue;
    if (!make_room(i, 1)) {  // those that run give pages back when they end
      out_of_pages_ = true;
      return;
    }
    const int64_t room = pages_.most_tokens(sequence.pages) - sequence.n_cached;
    const int64_t n_tokens = cut(sequence, std::min({budget_, sequence.n_pending(), room}));
    const bool grown = pages_.grow(sequence.pages, sequence.n_cached + n_tokens);
    TQ_CHECK(grown, "{} pages are fewer than there were", pages_.n_available());
    run(sequence, n_tokens);
  }
}

bool Scheduler::is_held(const Sequence& sequence) const {
  if (!pages_.shares()) return false;
  const std::vector<int32_t>& tokens = sequence.tokens;
  return std::any_of(running_.begin(), running_.end(), [&](const Sequence* other) {
    // Nor for one that it goes before.
    if (other->n_pending() <= 1 || other->request.priority > sequence.request.priority) {
      return false;
    }
    // Where its next page ends. The last token is always run: its logits are wanted.
    const int64_t end = (other->n_cached / kKvBlockTokens + 1) * kKvBlockTokens;
    return end < static_cast<int64_t>(tokens.size()) &&
           end <= static_cast<int64_t>(other->tokens.size()) &&
           std::equal(tokens.begin(), tokens.begin() + end, other->tokens.begin());
  });
}

void Scheduler::admit() {
  size_t n_held = 0;  // these come first in the queue; each keeps its place
  while (n_held < waiting_.size() && budget_ > 0 &&
         static_cast<int64_t>(running_.size() + n_held) < limits_.max_sequences) {
    Sequence& sequence = *waiting_[n_held];
    if (is_held(sequence)) {
      ++n_held;
      continue;
    }
    const int64_t available = pages_.most_tokens({});
    if (refused_.sequence == &sequence && available <= refused_.available && !running_.empty()) {
      return;
    }
    PrefixReport report;
    sequence.n_cached = pages_.adopt(sequence.pages, sequence.tokens, &report);
    // Those that run are left a page each, so that they do not have to preempt it soon.
    int64_t room = pages_.most_tokens(sequence.pages) - sequence.n_cached;
    for (const Sequence* other : running_) {
      if (other->pages.capacity_tokens() < other->max_cached()) room -= kKvBlockTokens;
    }
    int64_t n_tokens = std::min(budget_, sequence.n_pending());
    if (running_.empty()) n_tokens = std::min(n_tokens, room);
    n_tokens = cut(sequence, n_tokens);
    if (room < n_tokens || n_tokens < 1 ||
        !pages_.grow(sequence.pages, sequence.n_cached + n_tokens)) {
      pages_.retire(sequence.pages, sequence.cached_tokens());
      sequence.n_cached = 0;
      refused_ = {&sequence, available};
      return;
    }
    if (sequence.stats.preemptions == 0) {
      sequence.stats.reused_tokens = sequence.n_cached;
      sequence.stats.prefix = report;
    }
    waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(n_held));
    insert_in_order(running_, sequence);
    run(sequence, n_tokens);
  }
}

const ScheduledStep& Scheduler::next() {
  step_.sequences.clear();
  step_.batch.clear();
  budget_ = limits_.max_batch_tokens;
  out_of_pages_ = false;
  for (Sequence* sequence : running_) pages_.slide(sequence->pages, sequence->n_cached);
  decode();
  prefill();
  if (!out_of_pages_) admit();
  TQ_CHECK(!step_.batch.empty() || (running_.empty() && waiting_.empty()),
           "{} sequences wait and nothing runs", waiting_.size());
  return step_;
}

}  // namespace tq
