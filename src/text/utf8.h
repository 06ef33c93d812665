// UTF-8 as the text layer needs it: stepping through text that is known to be valid, and the one
// rule for text that is not: every maximal part that can start no character becomes one U+FFFD, as
// Python's errors="replace" and Rust's from_utf8_lossy do. Pure functions, thread safe.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tq {

inline constexpr std::string_view kReplacementChar = "\xEF\xBF\xBD";  // U+FFFD

struct Utf8Char {
  char32_t code_point;
  int size_bytes;
};

// The character at text[pos]. The text must be valid UTF-8 and pos the start of a character.
inline Utf8Char utf8_at(std::string_view text, size_t pos) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[pos + i]); };
  const char32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {(lead & 0x1F) << 6 | (byte(1) & 0x3Fu), 2};
  if (lead < 0xF0) return {(lead & 0x0F) << 12 | (byte(1) & 0x3Fu) << 6 | (byte(2) & 0x3Fu), 3};
  return {
      (lead & 0x07) << 18 | (byte(1) & 0x3Fu) << 12 | (byte(2) & 0x3Fu) << 6 | (byte(3) & 0x3Fu),
      4};
}

// The last character of valid, non-empty text.
Utf8Char utf8_last(std::string_view text);

void append_utf8(char32_t code_point, std::string& out);

bool is_valid_utf8(std::string_view text);

// The text with every invalid part replaced by U+FFFD.
std::string replace_invalid_utf8(std::string_view text);

// Moves the whole characters at the front of `pending` to the result (invalid parts as U+FFFD).
// What stays is empty or the start of a character that later bytes may complete.
std::string take_whole_utf8(std::string& pending);

}  // namespace tq
