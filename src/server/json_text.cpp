#include "server/json_text.h"

#include <fmt/format.h>

#include <cmath>
#include <iterator>

#include "text/utf8.h"

namespace tq {

void append_json_string(std::string_view text, std::string& out) {
  if (!is_valid_utf8(text)) return append_json_string(replace_invalid_utf8(text), out);
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte == 0x7F) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", byte);
    } else {
      out += c;
    }
  }
  out += '"';
}

std::string json_string(std::string_view text) {
  std::string out;
  append_json_string(text, out);
  return out;
}

void append_json_number(double value, std::string& out) {
  fmt::format_to(std::back_inserter(out), "{:.7g}", std::isfinite(value) ? value : -9999.0);
}

}  // namespace tq
