// InputAssembler: what a person types, put together from lines. Pure; one thread.
//   a line that ends with a backslash goes on in the next one, as a line of its own
//   """ at the beginning of a message (or of a command's argument) opens a text of several lines,
//   which ends with the line that ends with """
// A text that came with newlines in it (pasted) is taken as it is.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tq {

struct ChatInput {
  std::string text;
  bool is_command = false;  // begins with a slash and was not pasted with newlines
};

class InputAssembler {
 public:
  // Takes a line without its newline; the whole input if that was its last.
  std::optional<ChatInput> push(std::string_view line);
  // Forgets the lines so far.
  void reset();
  // Whether an input is under way.
  bool open() const { return state_ != State::kStart; }

 private:
  enum class State { kStart, kContinued, kBlock };

  std::optional<ChatInput> close();
  std::optional<ChatInput> push_in_block(std::string_view line);

  State state_ = State::kStart;
  ChatInput input_;
  bool at_block_start_ = false;
};

}  // namespace tq
