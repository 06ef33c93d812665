#include "kv/block_manager.h"

#include <algorithm>

#include "base/check.h"
#include "base/math.h"

namespace tq {

PagePool::PagePool(int64_t n) : size_(n) {
  free_.reserve(static_cast<size_t>(n));
  for (int64_t page = n - 1; page >= 0; --page) free_.push_back(static_cast<int32_t>(page));
}

void PagePool::take(int64_t n, std::vector<int32_t>& pages) {
  for (int64_t i = 0; i < n; ++i) {
    pages.push_back(free_.back());
    free_.pop_back();
  }
}

void PagePool::give_back(std::vector<int32_t>& pages) {
  free_.insert(free_.end(), pages.rbegin(), pages.rend());
  pages.clear();
  TQ_CHECK(free() <= size_, "{} free of {} pages", free(), size_);
}

bool BlockManager::reserve(BlockTable& table, int64_t n_tokens) {
  const int64_t wanted = ceil_div(n_tokens, kKvBlockTokens);
  const int64_t missing = wanted - static_cast<int64_t>(table.blocks.size());
  const int64_t missing_recent =
      std::min(wanted, ring_) - static_cast<int64_t>(table.recent.size());
  if (missing > pages_.free() || missing_recent > recent_.free()) return false;
  pages_.take(missing, table.blocks);
  recent_.take(missing_recent, table.recent);
  return true;
}

void BlockManager::release(BlockTable& table) {
  pages_.give_back(table.blocks);
  recent_.give_back(table.recent);
}

bool BlockManager::can_resume(int64_t length, int64_t position, int64_t window) const {
  const int64_t kept = ring_ * kKvBlockTokens;
  return ring_ == 0 || length <= kept ||
         length - kept <= std::max<int64_t>(0, position - window + 1);
}

}  // namespace tq
