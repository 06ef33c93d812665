// Batch: one step's work for Model::forward: a ragged set of token runs, one a sequence, over paged
// KV. One sequence is a batch of one; prefill and decode may ride together.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kv/pages.h"

namespace tq {

struct BatchSequence {
  std::span<const int32_t> token_ids;  // this step's tokens, at least one
  int64_t first_position = 0;          // position of token_ids[0] = tokens already in the cache
  const PageTable* pages = nullptr;    // covers first_position + token_ids.size()
  // Logits wanted for the last `n_logits` tokens of the run (usually 1; all for perplexity; 0 for a
  // prefill chunk that is not the last).
  int64_t n_logits = 1;
};

using Batch = std::span<const BatchSequence>;

}  // namespace tq
