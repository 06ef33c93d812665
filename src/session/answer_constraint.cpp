#include "session/answer_constraint.h"

#include <algorithm>
#include <utility>

#include "base/bits.h"
#include "base/error.h"

namespace tq {

CrossingTokens find_crossing(const Tokenizer& tokenizer, std::string_view close) {
  std::vector<int32_t> found;
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const std::string bytes = tokenizer.token_bytes(id);
    const size_t at = bytes.find(close);
    bool crosses = at != std::string::npos && at + close.size() < bytes.size();
    // Or it begins with the end of a tag that others began.
    for (size_t n = 1; n < std::min(close.size(), bytes.size()); ++n) {
      crosses = crosses || bytes.starts_with(close.substr(close.size() - n));
    }
    if (crosses) found.push_back(id);
  }
  return std::make_shared<const std::vector<int32_t>>(std::move(found));
}

AnswerConstraint::AnswerConstraint(std::shared_ptr<TokenGrammar> grammar,
                                   std::shared_ptr<const Tokenizer> tokenizer,
                                   const std::optional<ReasoningParser>& parser,
                                   CrossingTokens crossing)
    : matcher_(std::move(grammar)),
      tokenizer_(std::move(tokenizer)),
      crossing_(std::move(crossing)) {
  if (!parser) return;
  const auto open = tokenizer_->token_id(parser->tags().open);
  if (parser->begins_inside()) {
    state_ = State::kReasoning;
  } else if (parser->may_open() && open) {
    state_ = State::kStart;
    open_ = *open;
  } else {
    return;
  }
  close_ = parser->tags().close;
}

std::optional<size_t> AnswerConstraint::after_close(std::string_view bytes) const {
  std::string text = tail_;
  text += bytes;
  const size_t at = text.find(close_);
  if (at == std::string::npos) return std::nullopt;
  return text.size() - at - close_.size();
}

// A token that ends the tag ends there: what the answer begins with is the grammar's.
void AnswerConstraint::clear_crossing(std::span<uint32_t> bits) const {
  for (const int32_t id : *crossing_) {
    if (after_close(tokenizer_->token_bytes(id)).value_or(0) > 0) set_bit(bits, id, false);
  }
}

void AnswerConstraint::fill_mask(std::span<uint32_t> bits) {
  if (state_ == State::kReasoning) {
    std::fill(bits.begin(), bits.end(), ~uint32_t{0});
    return clear_crossing(bits);
  }
  matcher_.fill_mask(bits);
  if (state_ == State::kStart) set_bit(bits, open_);
}

void AnswerConstraint::accept(int32_t token) {
  if (state_ == State::kStart) {
    state_ = token == open_ ? State::kReasoning : State::kAnswer;
    if (state_ == State::kReasoning) return;
  }
  if (state_ == State::kAnswer) {
    if (matcher_.accept(token)) return;
    fail(ErrorCode::kInvalidArgument, "token {} is not what the grammar of the answer allows",
         token);
  }
  const std::string bytes = tokenizer_->token_bytes(token);
  if (const auto rest = after_close(bytes)) {
    state_ = State::kAnswer;
    if (*rest > 0 && !matcher_.accept_text(std::string_view(bytes).substr(bytes.size() - *rest))) {
      fail(ErrorCode::kInvalidArgument,
           "what follows the reasoning is not what the grammar of the answer allows");
    }
    return;
  }
  tail_ += bytes;
  if (tail_.size() >= close_.size()) tail_.erase(0, tail_.size() - close_.size() + 1);
}

}  // namespace tq
