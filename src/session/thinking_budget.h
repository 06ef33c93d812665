// ThinkingBudget: a limit on the tokens of an answer's reasoning. Once they are spent, the
// reasoning's closing tag is all that may come, token by token; then the answer goes on.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/constraint.h"
#include "text/reasoning_parser.h"
#include "text/tokenizer.h"

namespace tq {

class ThinkingBudget : public Constraint {
 public:
  // parser: of the prompt, before anything came. answer: what holds the answer besides; null:
  // nothing.
  ThinkingBudget(int64_t n_tokens, ReasoningParser parser,
                 std::shared_ptr<const Tokenizer> tokenizer, std::shared_ptr<Constraint> answer);

  void fill_mask(std::span<uint32_t> bits) override;
  void accept(int32_t token) override;
  bool may_end() const override { return !closes_ && (!answer_ || answer_->may_end()); }
  bool must_end() const override { return !closes_ && answer_ && answer_->must_end(); }
  bool is_open() const override { return !closes_ && (!answer_ || answer_->is_open()); }
  bool counts_bytes() const override { return answer_ && answer_->counts_bytes(); }

 private:
  void look();  // whether the closing tag must come

  int64_t n_left_;
  ReasoningParser parser_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<Constraint> answer_;
  std::vector<int32_t> closing_;  // the closing tag's tokens
  bool closes_ = false;
  size_t n_closed_ = 0;  // of those, that have come
};

// The answer's constraint with a limit on its reasoning. Throws kInvalidArgument without a parser:
// then the model marks no reasoning.
std::shared_ptr<Constraint> limit_thinking(int64_t n_tokens,
                                           const std::optional<ReasoningParser>& parser,
                                           std::shared_ptr<const Tokenizer> tokenizer,
                                           std::shared_ptr<Constraint> answer);

}  // namespace tq
