// Sets of small numbers as bits: number n is bit n % 32 of word n / 32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace tq {

// Where there is no such word, nothing: a model may have fewer tokens than its tokenizer.
inline void set_bit(std::span<uint32_t> bits, int32_t n, bool value = true) {
  const auto word = static_cast<size_t>(n) / 32;
  const uint32_t bit = uint32_t{1} << (n % 32);
  if (word < bits.size()) bits[word] = value ? bits[word] | bit : bits[word] & ~bit;
}

}  // namespace tq
