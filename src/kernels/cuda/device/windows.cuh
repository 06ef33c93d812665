// Codes of a window trellis (format/trellis.h) in re-laid weights. A weight's value is what its own
// code contributes, and the code before it, and of 3 bits the highest bit of the one before that;
// in a group, which is a ring, the last codes come before the first. All three are looked up with
// the same selectors, those of the codes in tile_layout.h.
#pragma once

#include <type_traits>

#include "kernels/cuda/device/codes.cuh"
#include "kernels/cuda/device/common.cuh"

namespace tq::cuda {

template <int kKind>
using WindowParts = std::conditional_t<bits_of(kKind) == 3, TrellisParts3, TrellisParts4>;

template <size_t kN>
TQ_HOST_DEVICE constexpr int lowest(const int8_t (&table)[kN]) {
  int least = table[0];
  for (const int8_t value : table) least = value < least ? value : least;
  return least;
}

// Tables of what codes contribute, four entries a word. kBiased: sums are 128 more than values, and
// no byte of them carries.
template <int kKind, bool kBiased>
struct WindowTables {
  using Parts = WindowParts<kKind>;
  static constexpr bool kThree = bits_of(kKind) == 3;
  static constexpr int kNewestBias = -lowest(Parts::kNewest);
  static constexpr int kPreviousBias = kThree ? -lowest(Parts::kPrevious) : 128 - kNewestBias;
  static constexpr int kEarlierBias = 128 - kNewestBias - kPreviousBias;
  static_assert(kPreviousBias >= -lowest(Parts::kPrevious));
  static_assert(!kThree || kEarlierBias >= -lowest(TrellisParts3::kEarlier));

  uint32_t newest[4];  // of 4 bits: of codes that are even, then of odd ones
  uint32_t previous[2];
  uint32_t earlier[2];

  __device__ __forceinline__ explicit WindowTables(const Centroids8& c)
      : newest{biased(c.words[0], kNewestBias), biased(c.words[1], kNewestBias),
               biased(c.words[2], kNewestBias), biased(c.words[3], kNewestBias)},
        previous{biased(c.previous[0], kPreviousBias), biased(c.previous[1], kPreviousBias)},
        earlier{biased(c.earlier[0], kEarlierBias), biased(c.earlier[1], kEarlierBias)} {}

 private:
  static __device__ __forceinline__ uint32_t biased(uint32_t word, int bias) {
    return kBiased ? __vadd4(word, static_cast<uint32_t>(bias) * 0x01010101u) : word;
  }
};

// What a kernel decodes codes of a kind with, made once: of windows their tables.
template <int kKind, bool kBiased = true>
using CodeTables =
    std::conditional_t<is_window(kKind), WindowTables<kKind, kBiased>, const Centroids8&>;

template <int kKind, bool kBiased = true>
__device__ __forceinline__ CodeTables<kKind, kBiased> code_tables(const Centroids8& centroids) {
  return static_cast<CodeTables<kKind, kBiased>>(centroids);
}

// A lane's codes of a chunk, and what they contribute to values, register by register.
template <int kKind>
class WindowCodes {
 public:
  static constexpr bool kThree = bits_of(kKind) == 3;
  static constexpr int kTerms = kThree ? 3 : 2;  // of a value

  // The words of tile_layout.h.
  __device__ __forceinline__ explicit WindowCodes(const uint32_t* words) {
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      selectors_[w] = kThree && w == 3 ? fourth_word(words) : words[w] & 0x77777777u;
      if constexpr (!kThree) lowest_[w] = (words[w] >> 3) & 0x11111111u;
    }
  }

  // What the codes of register r contribute to their own weights.
  template <bool kBiased>
  __device__ __forceinline__ uint32_t newest(const WindowTables<kKind, kBiased>& tables,
                                             int r) const {
    const uint32_t even = permute(tables.newest[0], tables.newest[1], selector(r));
    if constexpr (kThree) {
      return even;
    } else {
      const uint32_t odd = permute(tables.newest[2], tables.newest[3], selector(r));
      const uint32_t mask = byte_mask(lowest_[r / 2] >> (16 * (r % 2)));
      return (even & ~mask) | (odd & mask);
    }
  }
  // To the weights behind them; of 3 bits also to those behind these.
  template <bool kBiased>
  __device__ __forceinline__ uint32_t previous(const WindowTables<kKind, kBiased>& tables,
                                               int r) const {
    return permute(tables.previous[0], tables.previous[1], selector(r));
  }
  template <bool kBiased>
  __device__ __forceinline__ uint32_t earlier(const WindowTables<kKind, kBiased>& tables,
                                              int r) const {
    return permute(tables.earlier[0], tables.earlier[1], selector(r));
  }

 private:
  __device__ __forceinline__ uint32_t selector(int r) const {
    return selectors_[r / 2] >> (16 * (r % 2));
  }

  uint32_t selectors_[4];                 // nibble n of word w: register 2w + n / 4, byte n % 4
  uint32_t lowest_[kThree ? 1 : 4] = {};  // of 4 bits: likewise the lowest bits
};

// The words of a lane that hold its last four codes of both rows, as a word of selectors.
template <int kKind>
struct LastCodes {
  static constexpr int kFirst = bits_of(kKind) == 3 ? 0 : 3;
  static constexpr int kWords = bits_of(kKind) == 3 ? 3 : 1;
  uint32_t words[kWords];

  __device__ __forceinline__ uint32_t selectors() const {
    if constexpr (kWords == 3) {
      return fourth_word(words);
    } else {
      return words[0] & 0x77777777u;
    }
  }
};
// These of all words of a lane.
template <int kKind>
__device__ __forceinline__ uint32_t last_codes(const uint32_t* words) {
  LastCodes<kKind> last;
#pragma unroll
  for (int w = 0; w < LastCodes<kKind>::kWords; ++w) {
    last.words[w] = words[LastCodes<kKind>::kFirst + w];
  }
  return last.selectors();
}

// Whose last codes come before a lane's first in their group: a lane, of a chunk of the same unit.
struct LanePlace {
  int chunk;
  int lane;
};
__device__ __forceinline__ LanePlace place_before(int group, int chunk, int lane) {
  const int last = group / 16 - 1;  // of the group's lanes
  const int own = chunk * 4 + lane % 4;
  const int before = (own & ~last) | ((own - 1) & last);
  return {before / 4, (lane & ~3) | before % 4};
}

// The eight registers of values of a lane's codes; `before`: the selectors of the codes before
// them.
template <int kKind>
__device__ __forceinline__ void decode_windows(const uint32_t* words, uint32_t before,
                                               const CodeTables<kKind>& tables, uint32_t* out) {
  const WindowCodes<kKind> codes(words);
#pragma unroll
  for (int h = 0; h < 2; ++h) {  // rows lane / 4 and 8 more
    const uint32_t selector = before >> (16 * h);
    uint32_t previous = permute(tables.previous[0], tables.previous[1], selector);
    [[maybe_unused]] uint32_t earlier = permute(tables.earlier[0], tables.earlier[1], selector);
#pragma unroll
    for (int r = h; r < 8; r += 2) {
      // Bytes move up by one place, and by two.
      const uint32_t own = codes.previous(tables, r);
      uint32_t sum = codes.newest(tables, r) + permute(previous, own, 0x6543);
      previous = own;
      if constexpr (bits_of(kKind) == 3) {
        const uint32_t own_earlier = codes.earlier(tables, r);
        sum += permute(earlier, own_earlier, 0x5432);
        earlier = own_earlier;
      }
      out[r] = sum ^ 0x80808080u;
    }
  }
}

// Of a group whose chunks the warp has: the selectors of the codes before those of each chunk.
// `last`: of every lane's last ones.
template <int kChunks>
__device__ __forceinline__ void link_chunks(const uint32_t (&last)[kChunks], int lane,
                                            uint32_t (&before)[kChunks]) {
  static_assert(kChunks <= 2);
#pragma unroll
  for (int c = 0; c < kChunks; ++c) {
    const uint32_t sent = lane % 4 == 3 ? last[kChunks - 1 - c] : last[c];
    before[c] = __shfl_sync(kAllLanes, sent, (lane & ~3) | ((lane + 3) & 3));
  }
}

// The values of such a group.
template <int kKind, int kChunks>
__device__ __forceinline__ void decode_group(const uint32_t (&words)[kChunks][bits_of(kKind)],
                                             const CodeTables<kKind>& tables, int lane,
                                             uint32_t (&out)[kChunks][8]) {
  uint32_t last[kChunks], before[kChunks];
#pragma unroll
  for (int c = 0; c < kChunks; ++c) last[c] = last_codes<kKind>(words[c]);
  link_chunks(last, lane, before);
#pragma unroll
  for (int c = 0; c < kChunks; ++c) decode_windows<kKind>(words[c], before[c], tables, out[c]);
}

// A lane's codes of a chunk with all that their values depend on.
template <int kKind>
struct ChunkCodes {
  static constexpr int kWords = bits_of(kKind);
  uint32_t words[kWords];
  std::conditional_t<is_window(kKind), LastCodes<kKind>, uint32_t> before;

  // Of the chunk at `chunk`; load_word(p) reads a word.
  template <typename Load>
  __device__ __forceinline__ void load(const uint8_t* chunk, int lane, const Load& load_word) {
    const auto* from = reinterpret_cast<const uint32_t*>(chunk) + lane;
#pragma unroll
    for (int w = 0; w < kWords; ++w) words[w] = load_word(from + w * kWarp);
  }
  // Of windows: the last codes of that lane, which come before.
  template <typename Load>
  __device__ __forceinline__ void load_before(const uint8_t* chunk, int lane,
                                              const Load& load_word) {
    using Before = LastCodes<kKind>;
    const auto* from = reinterpret_cast<const uint32_t*>(chunk) + lane;
#pragma unroll
    for (int w = 0; w < Before::kWords; ++w) {
      before.words[w] = load_word(from + (Before::kFirst + w) * kWarp);
    }
  }
  __device__ __forceinline__ void decode(const CodeTables<kKind>& tables, uint32_t* out) const {
    if constexpr (is_window(kKind)) {
      decode_windows<kKind>(words, before.selectors(), tables, out);
    } else {
      decode_words<kKind>(words, tables, out);
    }
  }
};

}  // namespace tq::cuda
