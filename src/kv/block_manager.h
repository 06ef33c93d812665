// BlockManager: which KV pages are free and which sequence holds which (the block tables). Host
// only; one thread (the engine's) uses it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/backend.h"

namespace tq {

// The pages of one sequence in token order; grows as the sequence does. Owned by the sequence,
// filled and released through the BlockManager that made them.
struct BlockTable {
  std::vector<int32_t> blocks;
  // Its ring in layers that keep recent tokens only (KvLayout); empty where there are none.
  std::vector<int32_t> recent;
  int64_t capacity_tokens() const { return static_cast<int64_t>(blocks.size()) * kKvBlockTokens; }
};

// Pages that have a number each; which of them are free.
class PagePool {
 public:
  explicit PagePool(int64_t n);
  int64_t size() const { return size_; }
  int64_t free() const { return static_cast<int64_t>(free_.size()); }
  void take(int64_t n, std::vector<int32_t>& pages);  // at most free()
  void give_back(std::vector<int32_t>& pages);

 private:
  int64_t size_;
  std::vector<int32_t> free_;  // a stack; lowest numbers handed out first
};

class BlockManager {
 public:
  // ring: KvLayout::recent_blocks; n_recent_blocks: pages of all rings.
  explicit BlockManager(int64_t n_blocks, int64_t ring = 0, int64_t n_recent_blocks = 0)
      : pages_(n_blocks), recent_(n_recent_blocks), ring_(ring) {}
  int64_t n_blocks() const { return pages_.size(); }
  int64_t free_blocks() const { return pages_.free(); }
  int64_t n_recent_blocks() const { return recent_.size(); }
  // Grows the table to hold n_tokens; false (and nothing changed) when too few pages are free.
  [[nodiscard]] bool reserve(BlockTable& table, int64_t n_tokens);
  // Gives all pages back.
  void release(BlockTable& table);
  // Whether a sequence that ran to `length` tokens still keeps what the token at `position` sees
  // through a window: it may go on from there.
  bool can_resume(int64_t length, int64_t position, int64_t window) const;

 private:
  PagePool pages_;
  PagePool recent_;
  int64_t ring_;
};

// Physical slot (block * 16 + offset) of a token position; the table must cover it.
inline int64_t kv_slot(const BlockTable& table, int64_t position) {
  return static_cast<int64_t>(table.blocks[static_cast<size_t>(position / kKvBlockTokens)]) *
             kKvBlockTokens +
         position % kKvBlockTokens;
}
// The same in the ring.
inline int64_t recent_kv_slot(const BlockTable& table, int64_t position) {
  const size_t block = static_cast<size_t>(position / kKvBlockTokens) % table.recent.size();
  return static_cast<int64_t>(table.recent[block]) * kKvBlockTokens + position % kKvBlockTokens;
}

}  // namespace tq
