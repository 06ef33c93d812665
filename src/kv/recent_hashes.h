// RecentHashes: the last numbers that were added, up to a limit, to ask whether one is among them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <unordered_set>

namespace tq {

class RecentHashes {
 public:
  explicit RecentHashes(size_t most) : most_(most) {}

  void add(uint64_t hash) {
    if (!known_.insert(hash).second) return;
    order_.push_back(hash);
    if (order_.size() <= most_) return;
    known_.erase(order_.front());
    order_.pop_front();
  }
  bool has(uint64_t hash) const { return known_.contains(hash); }

 private:
  size_t most_;
  std::unordered_set<uint64_t> known_;
  std::deque<uint64_t> order_;  // the oldest first
};

}  // namespace tq
