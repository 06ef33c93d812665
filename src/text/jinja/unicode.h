// UTF-8 as Python's str sees it: code points, white space and case. Invalid bytes count as one
// character each.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tq::jinja {

void append_utf8(uint32_t code, std::string& out);
// The code point at pos and its length in bytes (1 for an invalid byte).
uint32_t decode_utf8(std::string_view text, size_t pos, size_t& length);
// The byte offset `count` characters behind the one at `from`; text.size() past the end.
size_t character_offset(std::string_view text, size_t from, int64_t count);
// Byte offsets of all characters, and text.size() at the end. Charged to the current budget.
std::vector<size_t> character_offsets(std::string_view text);
int64_t character_count(std::string_view text);

bool is_unicode_space(uint32_t code);  // str.isspace()
bool is_unicode_alpha(uint32_t code);  // str.isalpha()
bool is_unicode_digit(uint32_t code);  // str.isdigit()
bool is_unicode_upper(uint32_t code);
bool is_unicode_lower(uint32_t code);
std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string to_swapped_case(std::string_view text);
std::string to_title(std::string_view text);        // first letter of each word
std::string to_capitalized(std::string_view text);  // first letter only

// str.splitlines(): at every line end that Python knows.
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);

// str.strip(chars): white space when chars is empty.
std::string_view strip(std::string_view text, std::string_view chars, bool left, bool right);

}  // namespace tq::jinja
