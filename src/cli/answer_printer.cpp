#include "cli/answer_printer.h"

#include <fmt/format.h>
#include <unistd.h>

#include <utility>

#include "cli/command.h"
#include "cli/terminal.h"

namespace tq {

AnswerPrinter::AnswerPrinter(const ReasoningOptions& options, bool wrap)
    : on_terminal_(isatty(STDOUT_FILENO) != 0) {
  shows_reasoning_ = options.show == "show" || (options.show == "auto" && on_terminal_);
  if (on_terminal_) wrap_.emplace(wrap ? terminal_columns(STDOUT_FILENO) : 0);
}

std::string AnswerPrinter::shown(const std::string& text) {
  return wrap_ ? wrap_->push(without_controls(text)) : text;
}

void AnswerPrinter::write(const std::string& text, bool is_reasoning) const {
  if (text.empty()) return;
  print_text(is_reasoning && on_terminal_ ? fmt::format("\x1b[2m{}\x1b[22m", text) : text);
}

void AnswerPrinter::print(const ReasoningPiece& piece) {
  if (!piece.is_reasoning) {
    if (after_reasoning_) {
      finish();
      after_reasoning_ = false;
      write(shown("\n\n"), false);
    }
    write(shown(piece.text), false);
  } else if (shows_reasoning_) {
    after_reasoning_ = true;
    write(shown(piece.text), true);
  }
}

void AnswerPrinter::finish() {
  if (wrap_) write(wrap_->finish(), after_reasoning_);
}

}  // namespace tq
