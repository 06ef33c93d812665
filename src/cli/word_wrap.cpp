#include "cli/word_wrap.h"

#include <utf8proc.h>

#include <utility>

#include "text/utf8.h"

namespace tq {
namespace {

constexpr int kFewestColumns = 20;
constexpr int kTab = 8;
constexpr char32_t kJoiner = 0x200D;

bool is_wide(char32_t code_point) { return display_width(code_point) == 2; }

// Punctuation that belongs to the wide character before it.
bool closes(char32_t code_point) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(code_point));
  return category == UTF8PROC_CATEGORY_PE || category == UTF8PROC_CATEGORY_PF ||
         category == UTF8PROC_CATEGORY_PO;
}

bool opens(char32_t code_point) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(code_point));
  return category == UTF8PROC_CATEGORY_PS || category == UTF8PROC_CATEGORY_PI;
}

}  // namespace

int display_width(char32_t code_point) {
  return utf8proc_charwidth(static_cast<utf8proc_int32_t>(code_point));
}

std::string without_controls(std::string_view text) {
  std::string out;
  for (size_t pos = 0; pos < text.size();) {
    const Utf8Char c = utf8_at(text, pos);
    const auto size = static_cast<size_t>(c.size_bytes);
    const bool is_control = c.code_point < 0x20 || (c.code_point >= 0x7F && c.code_point < 0xA0);
    if (!is_control || c.code_point == '\n' || c.code_point == '\t') {
      out += text.substr(pos, size);
    } else if (c.code_point != '\r') {
      out += kReplacementChar;
    }
    pos += size;
  }
  return out;
}

// One column stays free: terminals differ in what a full line does to the cursor.
WordWrap::WordWrap(int columns) : columns_(columns < kFewestColumns ? 0 : columns - 1) {}

std::string WordWrap::push(std::string_view text) {
  std::string out;
  for (size_t pos = 0; pos < text.size();) {
    const Utf8Char c = utf8_at(text, pos);
    const auto size = static_cast<size_t>(c.size_bytes);
    add(c.code_point, text.substr(pos, size), out);
    pos += size;
  }
  if (columns_ == 0 || overlong_) place(out);
  return out;
}

std::string WordWrap::finish() {
  std::string out;
  place(out);
  return out;
}

bool WordWrap::breaks_before(char32_t code_point) const {
  if (word_.empty() || overlong_ || display_width(code_point) == 0 || last_ == kJoiner)
    return false;
  if (closes(code_point) || opens(last_)) return false;
  return is_wide(code_point) || is_wide(last_);
}

void WordWrap::add(char32_t code_point, std::string_view bytes, std::string& out) {
  if (code_point == '\n' || code_point == ' ' || code_point == '\t') {
    if (code_point == '\n' || !word_.empty()) place(out);
    overlong_ = false;
    if (code_point == '\n') {
      out += '\n';
      column_ = 0;
      at_line_start_ = true;
    } else {
      gap_ += bytes;
      const int column = column_ + gap_width_;
      gap_width_ += code_point == ' ' ? 1 : kTab - column % kTab;
    }
    return;
  }
  if (breaks_before(code_point)) place(out);
  word_ += bytes;
  word_width_ += display_width(code_point);
  last_ = code_point;
  if (columns_ > 0 && word_width_ > columns_ && !overlong_) {
    place(out);
    overlong_ = true;
  }
}

void WordWrap::place(std::string& out) {
  if (at_line_start_ && !word_.empty()) {
    at_line_start_ = false;
    if (word_.starts_with("```") || word_.starts_with("~~~")) in_code_ = !in_code_;
  }
  const bool fits = column_ + gap_width_ + word_width_ <= columns_;
  if (columns_ > 0 && !fits && !in_code_ && !overlong_ && column_ > 0) {
    if (!word_.empty()) out += '\n';
    column_ = 0;
  } else {
    out += gap_;
    column_ += gap_width_;
  }
  out += word_;
  column_ += word_width_;
  if (columns_ > 0) column_ %= columns_ + 1;  // where the terminal broke a long line itself
  gap_.clear();
  word_.clear();
  gap_width_ = word_width_ = 0;
}

}  // namespace tq
