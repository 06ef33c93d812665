// AnswerPrinter: writes an answer to stdout as it comes.
#pragma once

#include <optional>
#include <string>

#include "cli/reasoning_options.h"
#include "cli/word_wrap.h"
#include "text/reasoning_parser.h"

namespace tq {

// On a terminal reasoning is dimmed, lines are broken between words (unless told otherwise), and
// control characters are not obeyed; elsewhere everything is written as it is. Reasoning, if shown,
// comes before the answer with an empty line between. One per answer.
class AnswerPrinter {
 public:
  explicit AnswerPrinter(const ReasoningOptions& options, bool wrap = true);
  // Throws what print_text throws.
  void print(const ReasoningPiece& piece);
  // What was held back, when the answer is complete.
  void finish();

 private:
  std::string shown(const std::string& text);  // what can be shown of it now
  void write(const std::string& text, bool is_reasoning) const;

  bool on_terminal_;
  bool shows_reasoning_;
  bool after_reasoning_ = false;
  std::optional<WordWrap> wrap_;  // on a terminal
};

}  // namespace tq
