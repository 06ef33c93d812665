// All that depends on the kind of codes in re-laid weights (tile_layout.h): the words of a lane,
// these to eight registers of four int8 values (of windows: windows.cuh), and single indices for
// kernels that need no speed.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "format/codebook.h"
#include "format/trellis.h"
#include "format/trellis_tables.h"
#include "kernels/cuda/tile_layout.h"

namespace tq::cuda {

// The int8 centroids by index, four a word: of 16 at most, or of 5 bits the magnitudes in ascending
// order. Of windows what codes contribute to their own weights (of 4 bits the even ones, then the
// odd ones) and to those behind them, by what is a selector of both. weight = gain * value * unit.
struct Centroids8 {
  uint32_t words[4];
  uint32_t previous[2];
  uint32_t earlier[2];
  float unit;
};

// Entries first, first + step, ... of a table.
inline uint32_t four_entries(const int8_t* table, int first, int step) {
  uint32_t word = 0;
  for (int k = 0; k < 4; ++k) {
    word |= uint32_t{static_cast<uint8_t>(table[first + k * step])} << (8 * k);
  }
  return word;
}

inline Centroids8 window_centroids(int bits, int group) {
  Centroids8 out = {};
  out.unit = trellis_table(bits, group).unit;
  const int8_t* newest = bits == 3 ? TrellisParts3::kNewest : TrellisParts4::kNewest;
  const int8_t* previous = bits == 3 ? TrellisParts3::kPrevious : TrellisParts4::kPrevious;
  const int step = bits == 3 ? 1 : 2;
  for (int half = 0; half < 2; ++half) {
    out.words[half] = four_entries(newest, 4 * half * step, step);
    if (bits == 4) out.words[2 + half] = four_entries(newest, 1 + 4 * half * step, step);
    out.previous[half] = four_entries(previous, 4 * half, 1);
    if (bits == 3) out.earlier[half] = four_entries(TrellisParts3::kEarlier, half, 0);
  }
  return out;
}

inline Centroids8 centroids8(int kind, int group) {
  if (is_window(kind)) return window_centroids(bits_of(kind), group);
  const int bits = kind;
  Centroids8 out = {};
  const Codebook& book = codebook(bits, group);
  out.unit = bits == 6 ? book.int8_unit / 2 : book.int8_unit;
  if (bits > 5) return out;
  const size_t first = bits == 5 ? 16 : 0;
  for (size_t k = 0; k < 16 && first + k < book.int8_centroids.size(); ++k) {
    out.words[k / 4] |= uint32_t{static_cast<uint8_t>(book.int8_centroids[first + k])}
                        << (8 * (k % 4));
  }
  return out;
}

__device__ __forceinline__ uint32_t permute(uint32_t low, uint32_t high, uint32_t selector) {
  uint32_t out;
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(out) : "r"(low), "r"(high), "r"(selector));
  return out;
}

// 0xff in the bytes whose selector nibble is odd; the nibbles must be 0 or 1.
__device__ __forceinline__ uint32_t byte_mask(uint32_t nibbles) {
  return permute(0x0000ff00u, 0, nibbles);
}

// Of 3 bits: the selectors of registers 6 and 7, whose bits lie above those of the others.
__device__ __forceinline__ uint32_t fourth_word(const uint32_t* words) {
  return ((words[0] >> 3) & 0x11111111u) | ((words[1] >> 2) & 0x22222222u) |
         ((words[2] >> 1) & 0x44444444u);
}

template <int kBits>
__device__ __forceinline__ void decode_words(const uint32_t* words, const Centroids8& c,
                                             uint32_t* out) {
  if constexpr (kBits == 2) {
#pragma unroll
    for (int w = 0; w < 2; ++w) {
      const uint32_t low = words[w] & 0x33333333u;
      const uint32_t high = (words[w] >> 2) & 0x33333333u;
      out[4 * w] = permute(c.words[0], 0, low);
      out[4 * w + 1] = permute(c.words[0], 0, low >> 16);
      out[4 * w + 2] = permute(c.words[0], 0, high);
      out[4 * w + 3] = permute(c.words[0], 0, high >> 16);
    }
  } else if constexpr (kBits == 3) {
    const uint32_t fourth = fourth_word(words);
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      const uint32_t selector = w == 3 ? fourth : words[w] & 0x77777777u;
      out[2 * w] = permute(c.words[0], c.words[1], selector);
      out[2 * w + 1] = permute(c.words[0], c.words[1], selector >> 16);
    }
  } else if constexpr (kBits == 4 || kBits == 5) {
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      const uint32_t selector = words[w] & 0x77777777u;
      const uint32_t top = (words[w] >> 3) & 0x11111111u;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const uint32_t mask = byte_mask(top >> (16 * half));
        const uint32_t low = permute(c.words[0], c.words[1], selector >> (16 * half));
        const uint32_t high = permute(c.words[2], c.words[3], selector >> (16 * half));
        out[2 * w + half] = (low & ~mask) | (high & mask);
      }
    }
    if constexpr (kBits == 5) {
#pragma unroll
      for (int r = 0; r < 8; ++r) {
        const uint32_t sign = byte_mask((words[4] >> (r % 4 + 16 * (r / 4))) & 0x1111u);
        // Magnitudes are at least 1: no carry from byte to byte.
        out[r] = (out[r] ^ sign) + (sign & 0x01010101u);
      }
    }
  } else if constexpr (kBits == 6) {
    // 4 * (index - 32) + 2, twice the centroid: the code's bits on top of an int8.
#pragma unroll
    for (int r = 0; r < 8; ++r) {
      const uint32_t low = r % 2 == 0 ? words[r / 2] << 2 : words[r / 2] >> 2;
      const uint32_t high = words[4 + r / 4] << (6 - 2 * (r % 4));
      out[r] = (low & 0x3c3c3c3cu) | (high & 0xc0c0c0c0u) | 0x02020202u;
    }
  } else {
    static_assert(kBits == 8);
#pragma unroll
    for (int r = 0; r < 8; ++r) out[r] = words[r];
  }
}

// Word w of a lane's codes; index.at(register, byte) gives the indices.
template <typename Indices>
__device__ uint32_t make_word(const Indices& index, int kind, int w) {
  const int bits = bits_of(kind);
  uint32_t word = 0;
  if (bits == 8) {
    for (int i = 0; i < 4; ++i) word |= (index.at(w, i) ^ 128u) << (8 * i);
  } else if (bits == 6 && w >= 4) {
    for (int i = 0; i < 4; ++i) {
      for (int k = 0; k < 4; ++k) {
        word |= ((index.at(4 * (w - 4) + k, i) ^ 32u) >> 4) << (8 * i + 2 * k);
      }
    }
  } else if (bits == 6) {
    for (int i = 0; i < 4; ++i) {
      word |= ((index.at(2 * w, i) ^ 32u) & 15u) << (8 * i);
      word |= ((index.at(2 * w + 1, i) ^ 32u) & 15u) << (8 * i + 4);
    }
  } else if (bits == 5 && w == 4) {
    for (int r = 0; r < 8; ++r) {
      for (int i = 0; i < 4; ++i) {
        word |= (index.at(r, i) < 16 ? 1u : 0u) << (4 * i + r % 4 + 16 * (r / 4));
      }
    }
  } else {
    for (int n = 0; n < 8; ++n) {
      uint32_t nibble;
      if (bits == 2) {
        nibble = index.at(4 * w + n / 4, n % 4) | index.at(4 * w + 2 + n / 4, n % 4) << 2;
      } else {
        nibble = index.at(2 * w + n / 4, n % 4);
        if (is_window(kind) && bits == 4) nibble = nibble >> 1 | (nibble & 1) << 3;
        if (bits == 3) nibble |= ((index.at(6 + n / 4, n % 4) >> w) & 1u) << 3;
        if (bits == 5) nibble = nibble >= 16 ? nibble - 16 : 15 - nibble;
      }
      word |= nibble << (4 * n);
    }
  }
  return word;
}

// The index of weight (row, in) of a chunk of 16 x 64 codes.
__device__ inline int chunk_index(int kind, const uint8_t* chunk, int row, int in) {
  const FragmentPlace at = fragment_place(row, in);
  const auto* words = reinterpret_cast<const uint32_t*>(chunk) + at.lane;
  const auto word = [&](int w) { return words[w * 32]; };
  const int nibble = 4 * (at.byte + 4 * (at.reg % 2));  // of register pairs
  switch (bits_of(kind)) {
    case 2:
      return (word(at.reg / 4) >> (4 * (at.byte + 4 * (at.reg % 2)) + at.reg % 4 / 2 * 2)) & 3;
    case 3:
      if (at.reg < 6) return (word(at.reg / 2) >> nibble) & 7;
      return ((word(0) >> (nibble + 3)) & 1) | ((word(1) >> (nibble + 3)) & 1) << 1 |
             ((word(2) >> (nibble + 3)) & 1) << 2;
    case 4: {
      const int label = (word(at.reg / 2) >> nibble) & 15;
      return is_window(kind) ? (label << 1 & 15) | label >> 3 : label;
    }
    case 5: {
      const int magnitude = (word(at.reg / 2) >> nibble) & 15;
      const int sign = (word(4) >> (4 * at.byte + at.reg % 4 + 16 * (at.reg / 4))) & 1;
      return sign ? 15 - magnitude : 16 + magnitude;
    }
    case 6: {
      const int low = (word(at.reg / 2) >> (8 * at.byte + 4 * (at.reg % 2))) & 15;
      const int high = (word(4 + at.reg / 4) >> (8 * at.byte + 2 * (at.reg % 4))) & 3;
      return (low | high << 4) ^ 32;
    }
    default:
      return ((word(at.reg) >> (8 * at.byte)) & 255) ^ 128;
  }
}

// A re-laid matrix for kernels that read single weights.
struct TileMatrix {
  const uint8_t* data;
  int kind;
  int group;
  int64_t in_padded;

  __device__ const uint8_t* unit(int64_t row, int64_t in) const {
    return data + row / kTileRows * tile_bytes(kind, group, in_padded) +
           in / unit_in(group) * unit_bytes(kind, group);
  }
  __device__ int index(int64_t row, int64_t in) const {
    const int in_unit = static_cast<int>(in % unit_in(group));
    return chunk_index(kind, unit(row, in) + in_unit / kChunkIn * chunk_bytes(kind),
                       static_cast<int>(row % kTileRows), in_unit % kChunkIn);
  }
  __device__ float gain(int64_t row, int64_t in) const {
    const auto* gains =
        reinterpret_cast<const __half*>(unit(row, in) + unit_code_bytes(kind, group));
    return __half2float(gains[in % unit_in(group) / group * kTileRows + row % kTileRows]);
  }
};

}  // namespace tq::cuda
