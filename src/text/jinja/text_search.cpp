#include "text/jinja/text_search.h"

#include <algorithm>
#include <cstring>

#include "text/jinja/budget.h"

namespace tq::jinja {

size_t find_text(std::string_view text, std::string_view part, size_t from) {
  if (from > text.size() || part.size() > text.size() - from) return std::string_view::npos;
  charge_scan(part.size());
  // What is read is what lies before the match: charged in pieces, so that many short finds in a
  // long text cost what they do.
  const size_t piece = std::max(size_t{1} << 14, part.size());
  while (true) {
    const size_t n = std::min(text.size() - from, piece + part.size());
    charge_scan(n);
    const void* found = memmem(text.data() + from, n, part.data(), part.size());
    if (found != nullptr) return static_cast<size_t>(static_cast<const char*>(found) - text.data());
    if (n == text.size() - from) return std::string_view::npos;
    from += piece;
  }
}

size_t find_text_last(std::string_view text, std::string_view part) {
  if (part.size() > text.size()) return std::string_view::npos;
  charge_scan(2 * text.size());
  require_bytes(2 * text.size());
  const std::string reversed(text.rbegin(), text.rend());
  const std::string reversed_part(part.rbegin(), part.rend());
  const size_t at = find_text(reversed, reversed_part, 0);
  return at == std::string_view::npos ? at : text.size() - at - part.size();
}

}  // namespace tq::jinja
