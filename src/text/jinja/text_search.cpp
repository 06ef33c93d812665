#include "text/jinja/text_search.h"

#include <algorithm>
#include <cstring>

#include "text/jinja/budget.h"
#include "text/jinja/unicode.h"

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

Parts split_words(std::string_view text, int64_t max_splits, bool right) {
  charge_characters(text.size());
  Parts words;
  bool in_word = false;
  size_t begin = 0;
  for (size_t pos = 0, length = 0; pos < text.size(); pos += length) {
    const bool space = is_unicode_space(decode_utf8(text, pos, length));
    if (!space && !in_word) {
      if (words.size() == words.capacity()) require_bytes(3 * words.size() * sizeof(text));
      begin = pos;
      words.emplace_back();
    }
    if (!space) words.back() = text.substr(begin, pos + length - begin);
    in_word = !space;
  }
  const auto n_merged = static_cast<int64_t>(words.size()) - max_splits;
  if (max_splits < 0 || n_merged <= 0) return words;
  // The part that is not split keeps its outer white space.
  if (right) {
    const std::string_view word = words[static_cast<size_t>(n_merged) - 1];
    words[static_cast<size_t>(n_merged) - 1] =
        text.substr(0, static_cast<size_t>(word.data() + word.size() - text.data()));
    words.erase(words.begin(), words.begin() + n_merged - 1);
  } else {
    std::string_view& word = words[static_cast<size_t>(max_splits)];
    word = text.substr(static_cast<size_t>(word.data() - text.data()));
    words.resize(static_cast<size_t>(max_splits) + 1);
  }
  return words;
}

Parts split_at(std::string_view text, std::string_view separator, int64_t max_splits) {
  Parts parts;
  size_t begin = 0;
  while (max_splits < 0 || static_cast<int64_t>(parts.size()) < max_splits) {
    const size_t at = find_text(text, separator, begin);
    if (at == std::string_view::npos) break;
    if (parts.size() == parts.capacity()) require_bytes(3 * parts.size() * sizeof(text));
    parts.push_back(text.substr(begin, at - begin));
    begin = at + separator.size();
  }
  parts.push_back(text.substr(begin));
  return parts;
}

Parts split_at_right(std::string_view text, std::string_view separator, int64_t max_splits) {
  if (max_splits == 0) return {text};
  require_bytes(2 * text.size());
  charge_scan(4 * text.size());
  const std::string reversed(text.rbegin(), text.rend());
  const std::string reversed_separator(separator.rbegin(), separator.rend());
  Parts parts = split_at(reversed, reversed_separator, max_splits);
  std::reverse(parts.begin(), parts.end());
  for (std::string_view& part : parts) {  // the same place in the text itself
    const auto begin = static_cast<size_t>(part.data() - reversed.data());
    part = text.substr(text.size() - begin - part.size(), part.size());
  }
  return parts;
}

}  // namespace tq::jinja
