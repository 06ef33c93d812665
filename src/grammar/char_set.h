// CharSet: a set of Unicode characters as ranges, and how UTF-8 writes them.
#pragma once

#include <cstdint>
#include <vector>

namespace tq {

// Both ends belong to it.
struct CharRange {
  char32_t first;
  char32_t last;
};
struct ByteRange {
  uint8_t first;
  uint8_t last;
  bool operator==(const ByteRange&) const = default;
  auto operator<=>(const ByteRange&) const = default;
};

class CharSet {
 public:
  CharSet() = default;
  explicit CharSet(std::vector<CharRange> ranges) {
    for (const CharRange& range : ranges) add(range);
  }
  // Of every character that UTF-8 can write: surrogates are none.
  static CharSet all();

  void add(CharRange range);
  void add(const CharSet& other);
  CharSet negated() const;
  CharSet intersected(const CharSet& other) const;
  bool contains(char32_t c) const;
  bool empty() const { return ranges_.empty(); }
  // Sorted; neither overlapping nor touching, without surrogates.
  const std::vector<CharRange>& ranges() const { return ranges_; }

 private:
  std::vector<CharRange> ranges_;
};

// The bytes of the characters: each item is a range for every byte of characters of one length.
std::vector<std::vector<ByteRange>> utf8_sequences(const CharSet& set);

}  // namespace tq
