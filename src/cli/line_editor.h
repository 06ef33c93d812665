// LineEditor: reads lines from a person (editing, history, Ctrl-C) through libedit when stdin and
// stdout are terminals, and plain lines otherwise. One at a time; one thread.
#pragma once

#include <memory>
#include <optional>
#include <string>

namespace tq {

class LineEditor {
 public:
  // history_file: read now, written after each line; empty for none. A history that cannot be read
  // or written is no error.
  explicit LineEditor(std::string prompt, std::string history_file = "");
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  // The next line without its end; nothing at the end of input (Ctrl-D). Ctrl-C discards the line
  // being typed; pressed on an empty line twice in a row, it ends the input too.
  std::optional<std::string> next_line();
  bool interactive() const { return edit_ != nullptr; }

 private:
  struct Edit;
  std::unique_ptr<Edit> edit_;  // null: plain lines
};

}  // namespace tq
