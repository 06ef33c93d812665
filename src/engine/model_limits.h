// What a loaded model can take, with the zeros of LoadOptions resolved.
#pragma once

#include <algorithm>
#include <cstdint>

#include "model/model.h"

namespace tq {

// Tokens of the longest sequence.
inline int64_t context_limit(const Model& model) {
  const int64_t asked = model.options().max_context;
  return asked > 0 ? asked : model.spec().max_position;
}

// Rows of logits of one forward call.
inline int64_t logit_row_limit(const LoadOptions& options) {
  return options.max_logit_rows > 0 ? std::min(options.max_logit_rows, options.max_batch_tokens)
                                    : options.max_batch_tokens;
}
inline int64_t logit_row_limit(const Model& model) { return logit_row_limit(model.options()); }

// Sequences that run at a time.
inline int64_t sequence_limit(const LoadOptions& options) {
  return std::min(options.max_sequences, logit_row_limit(options));
}

}  // namespace tq
