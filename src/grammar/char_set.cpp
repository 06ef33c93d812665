#include "grammar/char_set.h"

#include <algorithm>
#include <string>

#include "text/utf8.h"

namespace tq {
namespace {

constexpr char32_t kLastChar = 0x10FFFF;
constexpr char32_t kFirstSurrogate = 0xD800;
constexpr char32_t kLastSurrogate = 0xDFFF;

// Both ends have as many bytes, and may be written by one range a byte.
void add_sequences(char32_t first, char32_t last, std::vector<std::vector<ByteRange>>& out) {
  // Split where the bytes after a common start do not run through all values.
  for (int bits = 6; bits <= 18; bits += 6) {
    const char32_t low = (char32_t{1} << bits) - 1;
    if ((first & ~low) == (last & ~low)) break;
    if ((first & low) != 0) {
      add_sequences(first, first | low, out);
      add_sequences((first | low) + 1, last, out);
      return;
    }
    if ((last & low) != low) {
      add_sequences(first, (last & ~low) - 1, out);
      add_sequences(last & ~low, last, out);
      return;
    }
  }
  std::string from;
  std::string to;
  append_utf8(first, from);
  append_utf8(last, to);
  std::vector<ByteRange>& sequence = out.emplace_back();
  for (size_t i = 0; i < from.size(); ++i) {
    sequence.push_back({static_cast<uint8_t>(from[i]), static_cast<uint8_t>(to[i])});
  }
}

}  // namespace

CharSet CharSet::all() { return CharSet({{0, kLastChar}}); }

void CharSet::add(CharRange range) {
  range.last = std::min(range.last, kLastChar);
  if (range.first > range.last) return;
  if (range.first <= kLastSurrogate && range.last >= kFirstSurrogate) {
    if (range.first < kFirstSurrogate) add({range.first, kFirstSurrogate - 1});
    if (range.last > kLastSurrogate) add({kLastSurrogate + 1, range.last});
    return;
  }
  // Those that overlap or touch become one.
  auto begin = std::lower_bound(
      ranges_.begin(), ranges_.end(), range.first,
      [](const CharRange& other, char32_t first) { return other.last + 1 < first; });
  auto end = begin;
  for (; end != ranges_.end() && end->first <= range.last + 1; ++end) {
    range.first = std::min(range.first, end->first);
    range.last = std::max(range.last, end->last);
  }
  begin = ranges_.erase(begin, end);
  ranges_.insert(begin, range);
}

void CharSet::add(const CharSet& other) {
  for (const CharRange& range : other.ranges_) add(range);
}

CharSet CharSet::negated() const {
  CharSet out;
  char32_t next = 0;
  for (const CharRange& range : ranges_) {
    if (range.first > next) out.add({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kLastChar) out.add({next, kLastChar});
  return out;
}

CharSet CharSet::intersected(const CharSet& other) const {
  CharSet outside = negated();
  outside.add(other.negated());
  return outside.negated();
}

bool CharSet::contains(char32_t c) const {
  return std::any_of(ranges_.begin(), ranges_.end(),
                     [c](const CharRange& range) { return range.first <= c && c <= range.last; });
}

std::vector<std::vector<ByteRange>> utf8_sequences(const CharSet& set) {
  constexpr char32_t kLastOfLength[] = {0x7F, 0x7FF, 0xFFFF, kLastChar};
  std::vector<std::vector<ByteRange>> out;
  for (const CharRange& range : set.ranges()) {
    char32_t first = range.first;
    for (const char32_t last : kLastOfLength) {
      if (first > last || first > range.last) continue;
      add_sequences(first, std::min(last, range.last), out);
      first = last + 1;
    }
  }
  return out;
}

}  // namespace tq
