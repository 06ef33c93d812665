#include "text/utf8.h"

#include <simdjson.h>

namespace tq {
namespace {

enum class Sequence { kValid, kInvalid, kUnfinished };

struct Scan {
  Sequence kind;
  int size_bytes;  // of the character, or of the part that can start none
};

// Table 3-7 of the Unicode standard: which bytes may follow a lead byte.
Scan scan_utf8(std::string_view text, size_t pos) {
  const auto lead = static_cast<unsigned char>(text[pos]);
  if (lead < 0x80) return {Sequence::kValid, 1};
  if (lead < 0xC2 || lead > 0xF4) return {Sequence::kInvalid, 1};
  const int length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  unsigned low = 0x80;
  unsigned high = 0xBF;
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  for (int i = 1; i < length; ++i) {
    if (pos + static_cast<size_t>(i) >= text.size()) return {Sequence::kUnfinished, i};
    const auto byte = static_cast<unsigned char>(text[pos + static_cast<size_t>(i)]);
    if (byte < low || byte > high) return {Sequence::kInvalid, i};
    low = 0x80;
    high = 0xBF;
  }
  return {Sequence::kValid, length};
}

// Appends the whole characters of text to out; returns where an unfinished last one begins.
size_t append_whole(std::string_view text, std::string& out) {
  size_t pos = 0;
  while (pos < text.size()) {
    const Scan scan = scan_utf8(text, pos);
    const auto size = static_cast<size_t>(scan.size_bytes);
    if (scan.kind == Sequence::kUnfinished) break;
    out += scan.kind == Sequence::kValid ? text.substr(pos, size) : kReplacementChar;
    pos += size;
  }
  return pos;
}

}  // namespace

Utf8Char utf8_last(std::string_view text) {
  size_t pos = text.size() - 1;
  while (pos > 0 && (static_cast<unsigned char>(text[pos]) & 0xC0) == 0x80) --pos;
  return utf8_at(text, pos);
}

void append_utf8(char32_t code_point, std::string& out) {
  const auto put = [&](char32_t byte) { out += static_cast<char>(byte); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | code_point >> 6);
    put(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    put(0xE0 | code_point >> 12);
    put(0x80 | (code_point >> 6 & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | code_point >> 18);
    put(0x80 | (code_point >> 12 & 0x3F));
    put(0x80 | (code_point >> 6 & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
}

bool is_valid_utf8(std::string_view text) {
  return simdjson::validate_utf8(text.data(), text.size());
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  if (append_whole(text, out) < text.size()) out += kReplacementChar;
  return out;
}

std::string take_whole_utf8(std::string& pending) {
  std::string out;
  pending.erase(0, append_whole(pending, out));
  return out;
}

}  // namespace tq
