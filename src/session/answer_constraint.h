// AnswerConstraint: a grammar for the answer of a model that may reason first.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/constraint.h"
#include "grammar/matcher.h"
#include "text/reasoning_parser.h"
#include "text/tokenizer.h"

namespace tq {

// Tokens that may end a closing tag and go on after it.
using CrossingTokens = std::shared_ptr<const std::vector<int32_t>>;
CrossingTokens find_crossing(const Tokenizer& tokenizer, std::string_view close);

class AnswerConstraint : public Constraint {
 public:
  // crossing: of the parser's closing tag.
  AnswerConstraint(std::shared_ptr<TokenGrammar> grammar,
                   std::shared_ptr<const Tokenizer> tokenizer,
                   const std::optional<ReasoningParser>& parser, CrossingTokens crossing);

  void fill_mask(std::span<uint32_t> bits) override;
  void accept(int32_t token) override;
  bool may_end() const override { return state_ != State::kReasoning && matcher_.is_complete(); }
  bool must_end() const override { return may_end() && !matcher_.can_go_on(); }

 private:
  enum class State : uint8_t {
    kStart,      // the opening tag may come, or the answer
    kReasoning,  // until the closing tag
    kAnswer,
  };

  // How many bytes of the token come after a closing tag that it ends; absent: it ends none.
  std::optional<size_t> after_close(std::string_view bytes) const;
  void clear_crossing(std::span<uint32_t> bits) const;

  GrammarMatcher matcher_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  State state_ = State::kAnswer;
  int32_t open_ = -1;  // the opening tag's id
  std::string close_;
  CrossingTokens crossing_;
  std::string tail_;  // the end of the reasoning so far
};

}  // namespace tq
