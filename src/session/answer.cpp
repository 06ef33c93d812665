#include "session/answer.h"

#include <utility>

#include "base/error.h"

namespace tq {

AnswerReader::AnswerReader(Prompt& prompt)
    : parser_(std::move(prompt.parser)), tells_given_(!prompt.given.empty()) {
  answer_.ids = prompt.given;
}

std::vector<ReasoningPiece> AnswerReader::read(const Output& output) {
  if (output.token) answer_.ids.push_back(*output.token);
  answer_.finish = output.finish;
  answer_.stats = output.stats;
  if (output.finish == FinishReason::kError) {
    // A request that is refused is no generation.
    const bool refused = output.error_code == ErrorCode::kInvalidArgument;
    fail(output.error_code, "{}{}", refused ? "" : "generation failed: ", output.error);
  }
  std::vector<ReasoningPiece> pieces;
  if (parser_) {
    pieces = parser_->push(output.text);
    if (output.finish != FinishReason::kNone) {
      for (ReasoningPiece& piece : parser_->finish()) pieces.push_back(std::move(piece));
    }
  } else if (!output.text.empty()) {
    pieces.push_back({.is_reasoning = false, .text = output.text});
  }
  for (const ReasoningPiece& piece : pieces) {
    (piece.is_reasoning ? answer_.reasoning : answer_.text) += piece.text;
  }
  if (std::exchange(tells_given_, false)) pieces.clear();
  return pieces;
}

void set_prompt(Request& request, Prompt& prompt) {
  request.prompt = std::move(prompt.ids);
  request.prompt.insert(request.prompt.end(), prompt.given.begin(), prompt.given.end());
  request.n_given = static_cast<int64_t>(prompt.given.size());
  request.shown_ids = std::move(prompt.shown_ids);
}

std::string describe_rates(const RequestStats& stats) {
  std::string text = fmt::format("prompt {} tokens", stats.prompt_tokens);
  if (stats.reused_tokens > 0) text += fmt::format(" ({} reused)", stats.reused_tokens);
  text += fmt::format(", {:.1f} tokens/s; answer {} tokens", stats.prefill_rate(),
                      stats.generated_tokens);
  if (stats.decode_rate() > 0) text += fmt::format(", {:.1f} tokens/s", stats.decode_rate());
  return text;
}

}  // namespace tq
