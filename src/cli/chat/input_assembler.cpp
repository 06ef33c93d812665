#include "cli/chat/input_assembler.h"

#include <algorithm>
#include <utility>

namespace tq {
namespace {

constexpr std::string_view kQuotes = "\"\"\"";

std::string_view without_trailing_blanks(std::string_view text) {
  const size_t last = text.find_last_not_of(" \t\r");
  return last == text.npos ? std::string_view() : text.substr(0, last + 1);
}

// Where the opening quotes are: first in the line, or after a command's words.
size_t find_opening(std::string_view line) {
  const size_t at = line.find(kQuotes);
  if (at == line.npos || at == 0) return at;
  const std::string_view before = line.substr(0, at);
  const bool words =
      before.front() == '/' && before.back() == ' ' && before.find_first_of("\"'") == before.npos;
  return words ? at : line.npos;
}

bool goes_on(std::string_view line) {
  const size_t last = line.find_last_not_of('\\');
  const size_t n_backslashes = line.size() - (last == line.npos ? 0 : last + 1);
  return n_backslashes % 2 == 1;
}

}  // namespace

void InputAssembler::reset() {
  state_ = State::kStart;
  input_ = {};
}

std::optional<ChatInput> InputAssembler::close() {
  ChatInput out = std::exchange(input_, {});
  state_ = State::kStart;
  return out;
}

std::optional<ChatInput> InputAssembler::push_in_block(std::string_view line) {
  const std::string_view trimmed = without_trailing_blanks(line);
  const bool closes = trimmed.ends_with(kQuotes);
  const std::string_view text = closes ? trimmed.substr(0, trimmed.size() - kQuotes.size()) : line;
  // Newlines next to the quotes are not part of the text.
  if (!at_block_start_ && !(closes && text.empty())) input_.text += '\n';
  input_.text += text;
  at_block_start_ = at_block_start_ && text.empty();
  return closes ? close() : std::nullopt;
}

std::optional<ChatInput> InputAssembler::push(std::string_view line) {
  if (state_ == State::kBlock) return push_in_block(line);
  if (state_ == State::kStart) {
    const bool pasted = line.find('\n') != line.npos;
    const size_t opening = pasted ? line.npos : find_opening(line);
    input_.is_command = !pasted && line.starts_with('/');
    if (opening != line.npos) {
      state_ = State::kBlock;
      at_block_start_ = true;
      input_.text = line.substr(0, opening);
      return push_in_block(line.substr(opening + kQuotes.size()));
    }
  }
  if (goes_on(line)) {
    state_ = State::kContinued;
    input_.text += line.substr(0, line.size() - 1);
    input_.text += '\n';
    return std::nullopt;
  }
  input_.text += line;
  return close();
}

}  // namespace tq
