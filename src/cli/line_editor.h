// LineEditor: reads lines from a person (editing, history, paste, Ctrl-C) through libedit when
// stdin and stdout are terminals, and plain lines otherwise. One at a time; one thread.
//
// On a terminal nothing that is typed between two calls of read() is echoed: it waits, and is in
// the next line.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace tq {

class LineEditor {
 public:
  // history_file: read now, written by remember(); empty for none. A history that cannot be read or
  // written is no error.
  explicit LineEditor(std::string history_file = "");
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  enum class End {
    kLine,
    kInterrupted,  // by Ctrl-C; the text is what was thrown away
    kInput,        // Ctrl-D on an empty line, or there is no more
  };
  struct Line {
    End end = End::kInput;
    // Without the newline that ended it. Newlines in it were pasted, or typed with Alt-Enter.
    std::string text;
  };
  // notice: shown before the prompt, once Ctrl-C is a key.
  Line read(const std::string& prompt, std::string_view notice = "");
  // Adds an entry to the history, which may be of many lines.
  void remember(const std::string& text);
  bool interactive() const { return edit_ != nullptr; }

 private:
  struct Edit;
  std::unique_ptr<Edit> edit_;  // null: plain lines
};

}  // namespace tq
