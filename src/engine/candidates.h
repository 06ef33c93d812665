// CandidateScorer: how probable several continuations of one context are. The context is run once,
// the continuations side by side on copies of its end; a context that begins as one before it runs
// only what is new, as long as that changes no bit (over a compressed KV cache: where near pages of
// the tail are still kept). One thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kv/kv_cache.h"
#include "kv/pages.h"
#include "model/model.h"
#include "tensor/buffer.h"

namespace tq {

struct CandidateScore {
  double log_probability = 0;  // sum over its tokens, natural logarithm
  bool is_greedy = false;      // each of its tokens is the most probable one
};

class CandidateScorer {
 public:
  // The model is borrowed; max_sequences of it run at a time. Throws what KvCache throws.
  CandidateScorer(Model& model, KvFormatId kv_format);

  // context: at least one id; continuations: at least one id each. One score for each, in order.
  // Throws kInvalidArgument for ids outside the vocabulary and for what is longer than the model's
  // context, kInternal when a logit is not finite.
  std::vector<CandidateScore> score(std::span<const int32_t> context,
                                    std::span<const std::vector<int32_t>> continuations);

 private:
  struct Branch;
  // Logits of the context's last token, valid until the next forward call.
  std::span<const float> run_context(std::span<const int32_t> context, PageTable& table);
  void run_branches(std::span<Branch> branches, int64_t position,
                    std::vector<CandidateScore>& scores);

  Model& model_;
  KvLayout layout_;
  std::vector<int64_t> n_pages_;  // of each group
  Pages pages_;
  KvCache kv_;
  Buffer logits_;  // fp32 [logit rows, vocab]
};

}  // namespace tq
