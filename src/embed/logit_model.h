// LogitModel: a model that is asked for the logits of given tokens, for measuring. One thread at a
// time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "engine/evaluate.h"
#include "session/open.h"

namespace tq {

class LogitModel {
 public:
  // As Llm, with the context of `options`; progress likewise.
  explicit LogitModel(const ModelOptions& options,
                      const std::function<void(int64_t done, int64_t total)>& progress = {});

  int64_t context() const { return context_; }
  int64_t vocab() const { return loaded_.model->spec().vocab; }
  // Null when the checkpoint has none.
  const Tokenizer* tokenizer() const { return loaded_.tokenizer.get(); }

  // Of each token what is predicted to follow it: [ids, vocab]. told: tokens done, after each part.
  // Throws kInvalidArgument for no ids, ids outside the vocabulary, and more than the context.
  std::vector<float> logits(std::span<const int32_t> ids,
                            const std::function<void(int64_t done, int64_t total)>& told = {});

 private:
  LoadedModel loaded_;
  int64_t context_;
  LogitReader reader_;
};

}  // namespace tq
