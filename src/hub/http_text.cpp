// What hub_client.h has beside the client: parsing of addresses and headers.
#include <fmt/format.h>

#include <charconv>
#include <ctime>
#include <optional>

#include "base/ascii.h"
#include "hub/hub_client.h"

namespace tq {
namespace {

constexpr int64_t kMost = int64_t{1} << 60;

// Takes a number off the front of a text.
std::optional<int64_t> take_number(std::string_view& text) {
  int64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc() || value < 0 || value > kMost) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(result.ptr - text.data()));
  return value;
}

bool take(std::string_view& text, std::string_view what) {
  if (!text.starts_with(what)) return false;
  text.remove_prefix(what.size());
  return true;
}

}  // namespace

std::optional<int64_t> retry_after_seconds(std::string_view value, int64_t now) {
  value = trim(value);
  if (std::string_view rest = value; const auto seconds = take_number(rest)) {
    return rest.empty() ? seconds : std::nullopt;
  }
  std::tm date{};  // "Wed, 21 Oct 2015 07:28:00 GMT"
  const std::string text(value);
  const char* end = ::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &date);
  if (end == nullptr || *end != '\0') return std::nullopt;
  return std::max<int64_t>(0, static_cast<int64_t>(::timegm(&date)) - now);
}

std::optional<ContentRange> parse_content_range(std::string_view value) {
  value = trim(value);
  if (!take(value, "bytes ")) return std::nullopt;
  const auto first = take_number(value);
  if (!first || !take(value, "-")) return std::nullopt;
  const auto last = take_number(value);
  if (!last || !take(value, "/")) return std::nullopt;
  const auto size = take_number(value);
  if (!size || !value.empty() || *last < *first || *last >= *size) return std::nullopt;
  return ContentRange{{*first, *last + 1}, *size};
}

std::string url_encoded(std::string_view path, bool segment) {
  std::string out;
  for (const char c : path) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~' || (c == '/' && !segment);
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace tq
