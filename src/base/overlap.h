// How much of a text that goes on may be the beginning of something that is looked for.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace tq {

// Length of the longest end of text that is a beginning of tag, but not all of it.
inline size_t overlap_of(std::string_view text, std::string_view tag) {
  if (tag.empty()) return 0;
  for (size_t n = std::min(text.size(), tag.size() - 1); n > 0; --n) {
    if (text.ends_with(tag.substr(0, n))) return n;
  }
  return 0;
}

}  // namespace tq
