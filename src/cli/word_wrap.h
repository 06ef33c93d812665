// Text that comes in pieces, as a terminal should show it: lines broken between words, and nothing
// that a terminal would obey. Pure; one per text; not thread safe.
#pragma once

#include <string>
#include <string_view>

namespace tq {

// Columns a character takes on a terminal: 0 (combining marks), 1 or 2.
int display_width(char32_t code_point);

// Valid UTF-8 without control characters other than newline and tab: a model must not move the
// cursor or set the window's title. Carriage returns vanish, others become U+FFFD.
std::string without_controls(std::string_view text);

// Breaks lines at spaces, which vanish there, and between wide characters. Lines of fenced code and
// words longer than a line are left to the terminal, so that they can be copied whole.
class WordWrap {
 public:
  // columns: of the terminal. With fewer than 20 nothing is broken.
  explicit WordWrap(int columns);

  // What can be shown after more text, which is valid UTF-8 without other control characters than
  // newline and tab. The last word is held back until its end is known.
  std::string push(std::string_view text);
  // What was held back. A text may follow that goes on where this one ended.
  std::string finish();

 private:
  void add(char32_t code_point, std::string_view bytes, std::string& out);
  // Moves spaces and word held back to the output, on a new line if they do not fit.
  void place(std::string& out);
  bool breaks_before(char32_t code_point) const;

  int columns_;     // 0: nothing is broken
  int column_ = 0;  // of what is out
  bool in_code_ = false;
  bool at_line_start_ = true;  // of a line of the text, not of the terminal
  bool overlong_ = false;      // the word's beginning is out already
  std::string gap_;            // spaces before the word
  int gap_width_ = 0;
  std::string word_;
  int word_width_ = 0;
  char32_t last_ = 0;  // character of the word
};

}  // namespace tq
