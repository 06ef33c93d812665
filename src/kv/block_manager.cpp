#include "kv/block_manager.h"

#include "base/check.h"
#include "base/math.h"

namespace tq {

BlockManager::BlockManager(int64_t n_blocks) : n_blocks_(n_blocks) {
  free_.reserve(static_cast<size_t>(n_blocks));
  for (int64_t block = n_blocks - 1; block >= 0; --block) {
    free_.push_back(static_cast<int32_t>(block));
  }
}

bool BlockManager::reserve(BlockTable& table, int64_t n_tokens) {
  const int64_t missing =
      ceil_div(n_tokens, kKvBlockTokens) - static_cast<int64_t>(table.blocks.size());
  if (missing > free_blocks()) return false;
  for (int64_t i = 0; i < missing; ++i) {
    table.blocks.push_back(free_.back());
    free_.pop_back();
  }
  return true;
}

void BlockManager::release(BlockTable& table) {
  for (auto it = table.blocks.rbegin(); it != table.blocks.rend(); ++it) free_.push_back(*it);
  table.blocks.clear();
  TQ_CHECK(free_blocks() <= n_blocks_, "{} free of {} pages", free_blocks(), n_blocks_);
}

}  // namespace tq
