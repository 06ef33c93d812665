#include "session/thinking_budget.h"

#include <algorithm>
#include <utility>

#include "base/bits.h"
#include "base/error.h"

namespace tq {

ThinkingBudget::ThinkingBudget(int64_t n_tokens, ReasoningParser parser,
                               std::shared_ptr<const Tokenizer> tokenizer,
                               std::shared_ptr<Constraint> answer)
    : n_left_(n_tokens),
      parser_(std::move(parser)),
      tokenizer_(std::move(tokenizer)),
      answer_(std::move(answer)) {
  const std::string_view close = parser_.tags().close;
  if (const auto id = tokenizer_->token_id(close)) {
    closing_ = {*id};
  } else {
    closing_ = tokenizer_->encode(close, {.add_special = false, .parse_special = true});
  }
  look();
}

void ThinkingBudget::look() {
  if (!parser_.is_inside()) n_closed_ = 0;
  // Tokens of a tag that is not read back as one are given up, rather than written for ever.
  closes_ = parser_.is_inside() && n_left_ <= 0 && n_closed_ < closing_.size();
}

void ThinkingBudget::fill_mask(std::span<uint32_t> bits) {
  if (!closes_) return answer_->fill_mask(bits);
  std::fill(bits.begin(), bits.end(), 0);
  set_bit(bits, closing_[n_closed_]);
}

void ThinkingBudget::accept(int32_t token) {
  if (answer_) answer_->accept(token);
  const bool was_inside = parser_.is_inside();
  parser_.push(tokenizer_->token_bytes(token));
  if (closes_) {
    // Another token comes where an answer goes on that was cut in its reasoning.
    n_closed_ = token == closing_[n_closed_] ? n_closed_ + 1 : 0;
  } else if (was_inside && parser_.is_inside()) {
    --n_left_;
  }
  look();
}

std::shared_ptr<Constraint> limit_thinking(int64_t n_tokens,
                                           const std::optional<ReasoningParser>& parser,
                                           std::shared_ptr<const Tokenizer> tokenizer,
                                           std::shared_ptr<Constraint> answer) {
  if (!parser)
    fail(ErrorCode::kInvalidArgument,
         "a thinking budget needs reasoning that is marked: by the model, through its chat "
         "template");
  return std::make_shared<ThinkingBudget>(n_tokens, *parser, std::move(tokenizer),
                                          std::move(answer));
}

}  // namespace tq
