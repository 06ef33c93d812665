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
  int64_t capacity_tokens() const { return static_cast<int64_t>(blocks.size()) * kKvBlockTokens; }
};

class BlockManager {
 public:
  explicit BlockManager(int64_t n_blocks);
  int64_t n_blocks() const { return n_blocks_; }
  int64_t free_blocks() const { return static_cast<int64_t>(free_.size()); }
  // Grows the table to hold n_tokens; false (and nothing changed) when too few pages are free.
  [[nodiscard]] bool reserve(BlockTable& table, int64_t n_tokens);
  // Gives all pages back.
  void release(BlockTable& table);

 private:
  int64_t n_blocks_;
  std::vector<int32_t> free_;  // a stack; lowest numbers handed out first
};

// Physical slot (block * 16 + offset) of a token position; the table must cover it.
inline int64_t kv_slot(const BlockTable& table, int64_t position) {
  return static_cast<int64_t>(table.blocks[static_cast<size_t>(position / kKvBlockTokens)]) *
             kKvBlockTokens +
         position % kKvBlockTokens;
}

}  // namespace tq
