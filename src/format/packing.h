// The bit stream that indices are packed in: index k occupies bits k*bits .. (k+1)*bits - 1, least
// significant bit first, bytes in ascending order. So 8 indices always fill exactly `bits` bytes,
// and a group of g indices g*bits/8 bytes, with nothing between groups. Pure functions.
#pragma once

#include <cstdint>
#include <cstring>

namespace tq {

// Bytes of n packed indices; n must be a multiple of 8.
constexpr int64_t packed_bytes(int64_t n, int bits) { return n / 8 * bits; }

// Writes 8 indices, each below 2^kBits, as kBits bytes.
template <int kBits>
inline void pack8(const uint8_t* indices, uint8_t* out) {
  static_assert(kBits >= 1 && kBits <= 8);
  uint64_t word = 0;
  for (int k = 0; k < 8; ++k) word |= static_cast<uint64_t>(indices[k]) << (k * kBits);
  for (int b = 0; b < kBits; ++b) out[b] = static_cast<uint8_t>(word >> (8 * b));
}

// Reads kBits bytes as 8 indices.
template <int kBits>
inline void unpack8(const uint8_t* packed, uint8_t* indices) {
  static_assert(kBits >= 1 && kBits <= 8);
  if constexpr (kBits == 8) {
    std::memcpy(indices, packed, 8);
    return;
  }
  uint64_t word = 0;  // byte by byte: a 3-byte memcpy into it would stall on the wider load
  for (int b = 0; b < kBits; ++b) word |= static_cast<uint64_t>(packed[b]) << (8 * b);
  for (int k = 0; k < 8; ++k) {
    indices[k] = static_cast<uint8_t>((word >> (k * kBits)) & ((1u << kBits) - 1));
  }
}

// n (a multiple of 8) indices to packed_bytes(n, kBits) bytes, and back.
template <int kBits>
inline void pack(const uint8_t* indices, int64_t n, uint8_t* out) {
  for (int64_t i = 0; i < n; i += 8) pack8<kBits>(indices + i, out + i / 8 * kBits);
}
template <int kBits>
inline void unpack(const uint8_t* packed, int64_t n, uint8_t* indices) {
  for (int64_t i = 0; i < n; i += 8) unpack8<kBits>(packed + i / 8 * kBits, indices + i);
}

// Index k alone. Reads no byte that holds none of its bits.
inline int unpack_index(const uint8_t* packed, int bits, int64_t k) {
  const int64_t first_bit = k * bits;
  const int shift = static_cast<int>(first_bit % 8);
  unsigned word = packed[first_bit / 8];
  if (shift + bits > 8) word |= static_cast<unsigned>(packed[first_bit / 8 + 1]) << 8;
  return static_cast<int>((word >> shift) & ((1u << bits) - 1));
}

}  // namespace tq
