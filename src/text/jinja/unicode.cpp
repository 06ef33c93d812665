#include "text/jinja/unicode.h"

#include <utf8proc.h>

#include "text/jinja/budget.h"

namespace tq::jinja {

void append_utf8(uint32_t code, std::string& out) {
  if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) code = 0xfffd;
  if (code < 0x80) {
    out += static_cast<char>(code);
    return;
  }
  utf8proc_uint8_t buffer[4];
  const utf8proc_ssize_t n = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code), buffer);
  out.append(reinterpret_cast<const char*>(buffer), static_cast<size_t>(n));
}

uint32_t decode_utf8(std::string_view text, size_t pos, size_t& length) {
  utf8proc_int32_t code = -1;
  const utf8proc_ssize_t n =
      utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + pos,
                       static_cast<utf8proc_ssize_t>(text.size() - pos), &code);
  length = n > 0 ? static_cast<size_t>(n) : 1;
  return n > 0 ? static_cast<uint32_t>(code) : 0xfffd;
}

size_t character_offset(std::string_view text, size_t from, int64_t count) {
  for (size_t length = 0; count > 0 && from < text.size(); from += length, --count) {
    decode_utf8(text, from, length);
  }
  return from;
}

std::vector<size_t> character_offsets(std::string_view text) {
  charge_characters(text.size());
  require_bytes((text.size() + 1) * sizeof(size_t));
  std::vector<size_t> offsets;
  offsets.reserve(text.size() + 1);
  for (size_t pos = 0, length = 0; pos < text.size(); pos += length) {
    offsets.push_back(pos);
    decode_utf8(text, pos, length);
  }
  offsets.push_back(text.size());
  return offsets;
}

int64_t character_count(std::string_view text) {
  int64_t count = 0;
  for (size_t pos = 0, length = 0; pos < text.size(); pos += length, ++count) {
    decode_utf8(text, pos, length);
  }
  return count;
}

bool is_unicode_space(uint32_t code) {
  if (code < 0x80)
    return code == ' ' || (code >= 9 && code <= 13) || (code >= 0x1c && code <= 0x1f);
  if (code == 0x85) return true;
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(code));
  return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
         category == UTF8PROC_CATEGORY_ZP;
}

bool is_unicode_alpha(uint32_t code) {
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(code));
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool is_unicode_digit(uint32_t code) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(code)) == UTF8PROC_CATEGORY_ND;
}

bool is_unicode_upper(uint32_t code) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(code)) == UTF8PROC_CATEGORY_LU;
}

bool is_unicode_lower(uint32_t code) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(code)) == UTF8PROC_CATEGORY_LL;
}

namespace {

enum class Case { kUpper, kLower, kSwap, kTitle, kCapitalize };

std::string change_case(std::string_view text, Case mode) {
  charge_steps(text.size() / 4 + 1);  // tables are looked up for each character
  require_bytes(2 * text.size());
  std::string out;
  out.reserve(text.size());
  bool start = true;  // kTitle: of a word; kCapitalize: of the text
  for (size_t pos = 0, length = 0; pos < text.size(); pos += length) {
    const uint32_t code = decode_utf8(text, pos, length);
    const auto c = static_cast<utf8proc_int32_t>(code);
    const bool upper = mode == Case::kSwap
                           ? is_unicode_lower(code)
                           : mode == Case::kUpper || (mode != Case::kLower && start);
    if (code == 0xdf && mode == Case::kUpper) {  // the one common letter whose capital is two
      out += "SS";
    } else if (length == 1 && code == 0xfffd) {
      out += text[pos];
    } else {
      append_utf8(static_cast<uint32_t>(upper ? utf8proc_toupper(c) : utf8proc_tolower(c)), out);
    }
    start = mode == Case::kTitle && !is_unicode_alpha(code);
  }
  return out;
}

}  // namespace

std::string to_upper(std::string_view text) { return change_case(text, Case::kUpper); }
std::string to_lower(std::string_view text) { return change_case(text, Case::kLower); }
std::string to_swapped_case(std::string_view text) { return change_case(text, Case::kSwap); }
std::string to_title(std::string_view text) { return change_case(text, Case::kTitle); }
std::string to_capitalized(std::string_view text) { return change_case(text, Case::kCapitalize); }

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  charge_characters(text.size());
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t pos = 0, length = 0; pos < text.size();) {
    const uint32_t code = decode_utf8(text, pos, length);
    const bool ends = (code >= 0x0a && code <= 0x0d) || (code >= 0x1c && code <= 0x1e) ||
                      code == 0x85 || code == 0x2028 || code == 0x2029;
    const size_t next = pos + (text.substr(pos, 2) == "\r\n" ? 2 : length);
    if (ends) {
      if (lines.size() == lines.capacity()) require_bytes(3 * lines.size() * sizeof(text));
      lines.push_back(text.substr(begin, (keep_ends ? next : pos) - begin));
      begin = next;
    }
    pos = next;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

std::string_view strip(std::string_view text, std::string_view chars, bool left, bool right) {
  const auto drop = [&](size_t pos, size_t length) {
    charge_steps(1 + chars.size() / 8);
    if (!chars.empty()) {
      const std::string_view character = text.substr(pos, length);
      for (size_t p = 0, n = 0; p < chars.size(); p += n) {
        decode_utf8(chars, p, n);
        if (chars.substr(p, n) == character) return true;
      }
      return false;
    }
    size_t ignored;
    return is_unicode_space(decode_utf8(text, pos, ignored));
  };
  size_t begin = 0;
  size_t length = 0;
  while (left && begin < text.size()) {
    decode_utf8(text, begin, length);
    if (!drop(begin, length)) break;
    begin += length;
  }
  size_t end = text.size();
  while (right && end > begin) {
    size_t start = end - 1;  // back to the first byte of the last character
    while (start > begin && (static_cast<unsigned char>(text[start]) & 0xc0) == 0x80) --start;
    decode_utf8(text, start, length);
    if (start + length != end) start = end - 1;  // an invalid byte stands alone
    if (!drop(start, end - start)) break;
    end = start;
  }
  return text.substr(begin, end - begin);
}

}  // namespace tq::jinja
