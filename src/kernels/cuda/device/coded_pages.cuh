// A warp's pages of a cache of codes, and how their numbers become fragments of m16n8k16 (see
// coded_decode.cuh): codes by a table of pairs of centroids in shared memory, near pages as they
// are.
#pragma once

#include "kernels/cuda/attention/coded_decode.h"
#include "kernels/cuda/device/coded.cuh"
#include "kernels/cuda/device/deep_pages.cuh"
#include "kernels/cuda/device/mma16.cuh"

namespace tq::cuda {

// A codebook's centroids as f16, up to a factor.
struct HalfBook {
  uint16_t centroids[32];
};

struct CodedDecodeParams {
  CodedParams coded;
  DeepParams deep;  // how keys are shared
  RotationMasks masks;
  HalfBook key_book;
  HalfBook value_book;
  float key_unit;  // those factors
  float value_unit;
};

// Pairs of indices to pairs of f16. A bank of shared memory has a copy of its own where that is
// not too much, so that lanes never wait for each other.
template <int kBits, int kMostLogCopies = 5>
struct PairTable {
  static constexpr bool kComputed = kBits == 8;
  static constexpr int kLogCopies = kBits <= 4 ? kMostLogCopies : 0;
  static constexpr int kEntries = kComputed ? 0 : 1 << (2 * kBits);
  static constexpr int kBytes = kEntries * 4 << kLogCopies;

  static __device__ void fill(uint8_t* table, const HalfBook& book) {
    auto* words = reinterpret_cast<uint32_t*>(table);
#pragma unroll 4
    for (int i = threadIdx.x; i < kEntries << kLogCopies; i += blockDim.x) {
      const int pair = i >> kLogCopies;
      words[i] = book.centroids[pair & ((1 << kBits) - 1)] |
                 static_cast<uint32_t>(book.centroids[pair >> kBits]) << 16;
    }
  }
  // Pair i, known when compiled, of indices that begin at bit 0 of the words.
  template <int kWords>
  static __device__ __forceinline__ uint32_t get(const uint8_t* table,
                                                 const uint32_t (&words)[kWords], int i, int lane) {
    const int bit = 2 * kBits * i;
    const int word = bit / 32, shift = bit % 32;
    if constexpr (kComputed) {  // index k: 1024 + k, less 1152
      const uint32_t pair = __byte_perm(words[word], 0x64646464, shift == 0 ? 0x4140 : 0x4342);
      const __half2 number =
          __hsub2(*reinterpret_cast<const __half2*>(&pair), __half2half2(__ushort_as_half(0x6480)));
      return *reinterpret_cast<const uint32_t*>(&number);
    }
    constexpr int kScale = kLogCopies + 2;  // of an entry's bytes
    constexpr uint32_t kMask = (uint32_t{1} << (2 * kBits)) - 1;
    uint32_t at;
    if (shift + 2 * kBits > 32) {
      at = __funnelshift_r(words[word], words[word + 1 < kWords ? word + 1 : word], shift)
           << kScale;
    } else if (shift >= kScale) {
      at = words[word] >> (shift - kScale);
    } else {
      at = words[word] << (kScale - shift);
    }
    at &= kMask << kScale;
    if constexpr (kLogCopies > 0) at |= lane % (1 << kLogCopies) * 4;
    return *reinterpret_cast<const uint32_t*>(table + at);
  }
};

template <typename Format, int kDims, int kDimWarps>
struct CodedLayout {
  static constexpr int kKeyBits = Format::Keys::kBits;
  static constexpr int kValueBits = Format::Values::kBits;
  using KeyTable = PairTable<kKeyBits>;
  using ValueTable = PairTable<kValueBits>;
  static constexpr bool kOneTable = kKeyBits == kValueBits;
  static constexpr int kValueTable = kOneTable ? 0 : KeyTable::kBytes;
  static constexpr int kTableBytes = KeyTable::kBytes + (kOneTable ? 0 : ValueTable::kBytes);
  // A slot: a warp's codes of 16 keys and values, and the gains of all dims.
  static constexpr int kKeyBytes = kKvBlockTokens * kDims * kKeyBits / 8;
  static constexpr int kValueBytes = kKvBlockTokens * kDims * kValueBits / 8;
  static constexpr int kGainBytes = kKvBlockTokens * kDimWarps * 2;
  static constexpr int kSlotBytes = kKeyBytes + kValueBytes + 2 * kGainBytes;
  static constexpr int kSlots = kDimWarps > 1 || kSlotBytes > 2048 ? 3 : 4;
  static constexpr int kScoreRoom = kDimWarps > 1 ? 2 * 2 * kWarp : 0;  // float2 of a warp

  static __host__ __device__ constexpr int ring_bytes(int warps) {
    return warps * kSlots * kSlotBytes;
  }
  static constexpr int64_t bytes(int64_t warps, int64_t n_factors) {
    constexpr int kDim = kDims * kDimWarps;
    const int64_t teams = warps / kDimWarps;
    return kTableBytes + warps * (kSlots * kSlotBytes) + kDeepHeads * kDim * int64_t{4} +
           warps * (kScoreRoom * 8) + teams * (kDeepHeads * 8) +
           (n_factors > 0 ? kDeepHeads * (n_factors + 1) * 4 : 0);
  }
  // In the end the teams' sums lie where the rings were.
  static constexpr int kSumBytes = kDeepHeads * (kDims * kDimWarps + 4) * 4;
  static_assert(kSumBytes <= kDimWarps * kSlots * kSlotBytes + kTableBytes / kCodedWarps);
  static __device__ void fill_tables(uint8_t* shared, const CodedDecodeParams& p) {
    KeyTable::fill(shared, p.key_book);
    if constexpr (!kOneTable) ValueTable::fill(shared + kValueTable, p.value_book);
  }
};

// kN indices from number `first` (a multiple of kN) of a bit stream in shared memory on, to bit 0
// of words.
template <int kBits, int kN>
struct Indices {
  static constexpr int kWords = (kN * kBits + 31) / 32;
  static constexpr bool kAligned = kN * kBits % 32 == 0;
  uint32_t words[kWords];

  __device__ __forceinline__ void load(const uint8_t* stream, int first) {
    if constexpr (kAligned) {
      const uint8_t* from = stream + first * kBits / 8;
      if constexpr (kWords % 4 == 0) {
#pragma unroll
        for (int w = 0; w < kWords; w += 4) {
          const uint4 four = *reinterpret_cast<const uint4*>(from + 4 * w);
          words[w] = four.x, words[w + 1] = four.y, words[w + 2] = four.z, words[w + 3] = four.w;
        }
      } else if constexpr (kWords % 2 == 0) {
#pragma unroll
        for (int w = 0; w < kWords; w += 2) {
          const uint2 two = *reinterpret_cast<const uint2*>(from + 4 * w);
          words[w] = two.x, words[w + 1] = two.y;
        }
      } else {
#pragma unroll
        for (int w = 0; w < kWords; ++w) {
          words[w] = *reinterpret_cast<const uint32_t*>(from + 4 * w);
        }
      }
    } else {
      const int bit = first * kBits;
      const auto* from = reinterpret_cast<const uint32_t*>(stream) + bit / 32;
      uint32_t low = from[0];
#pragma unroll
      for (int w = 0; w < kWords; ++w) {
        const uint32_t high = from[w + 1];  // gains lie behind the last codes
        words[w] = __funnelshift_r(low, high, bit % 32);
        low = high;
      }
    }
  }
};

__device__ __forceinline__ float2 half_pair(const uint8_t* from) {
  return __half22float2(*reinterpret_cast<const __half2*>(from));
}

// The fragment of four keys' pairs of dims, of f16: rows are dims, columns neighbouring keys.
__device__ __forceinline__ void pair_keys(uint32_t (&a)[4], uint32_t x0, uint32_t x1, uint32_t x2,
                                          uint32_t x3) {
  a[0] = __byte_perm(x0, x1, 0x5410);
  a[1] = __byte_perm(x0, x1, 0x7632);
  a[2] = __byte_perm(x2, x3, 0x5410);
  a[3] = __byte_perm(x2, x3, 0x7632);
}
// The lane's k-th of four keys of a page.
__device__ __forceinline__ int own_key(int k, int lane) { return lane % 4 * 2 + k % 2 + k / 2 * 8; }

// A page of codes in its slot.
template <typename Format, int kDims, int kDimWarps>
struct CodesInSlot {
  using Layout = CodedLayout<Format, kDims, kDimWarps>;
  static constexpr int kSteps = kDims / 16;
  const uint8_t* slot;
  const uint8_t* tables;
  float key_unit;
  float value_unit;
  int dim_warp;
  int lane;

  // Of keys 8 n + lane % 4 * 2 and the next.
  __device__ __forceinline__ float2 gains(int offset, int n, float unit) const {
    const uint8_t* from = slot + Layout::kKeyBytes + Layout::kValueBytes + offset;
    const int key = 8 * n + lane % 4 * 2;
    float2 both;
    if constexpr (kDimWarps == 1) {
      both = half_pair(from + 2 * key);
    } else {
      const auto* gain = reinterpret_cast<const __half*>(from) + key * kDimWarps + dim_warp;
      both = {__half2float(gain[0]), __half2float(gain[kDimWarps])};
    }
    return {both.x * unit, both.y * unit};
  }
  __device__ __forceinline__ float2 value_gain(int n) const {
    return gains(Layout::kGainBytes, n, value_unit);
  }
  __device__ __forceinline__ void score(const uint32_t (&q)[kSteps][4], float2 (&out)[2]) const {
#pragma unroll
    for (int n = 0; n < 2; ++n) {
      Indices<Layout::kKeyBits, kDims / 4> indices;
      indices.load(slot + (8 * n + lane / 4) * (kDims * Layout::kKeyBits / 8),
                   lane % 4 * (kDims / 4));
      float product[2][4] = {};
#pragma unroll
      for (int s = 0; s < kSteps; ++s) {
        using Table = typename Layout::KeyTable;
        multiply16<__half>(product[s % 2], q[s], Table::get(tables, indices.words, 2 * s, lane),
                           Table::get(tables, indices.words, 2 * s + 1, lane));
      }
      const float2 gain = gains(0, n, key_unit);
      out[n].x = ((product[0][0] + product[1][0]) + (product[0][2] + product[1][2])) * gain.x;
      out[n].y = ((product[0][1] + product[1][1]) + (product[0][3] + product[1][3])) * gain.y;
    }
  }
  struct Values {
    Indices<Layout::kValueBits, kDims / 8> indices[4];
    const uint8_t* table;
    int lane;
    __device__ __forceinline__ void operator()(int m, uint32_t (&a)[4]) const {
      using Table = typename Layout::ValueTable;
      pair_keys(a, Table::get(table, indices[0].words, m, lane),
                Table::get(table, indices[1].words, m, lane),
                Table::get(table, indices[2].words, m, lane),
                Table::get(table, indices[3].words, m, lane));
    }
  };
  __device__ __forceinline__ Values values() const {
    Values all;
    all.table = tables + Layout::kValueTable;
    all.lane = lane;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      all.indices[k].load(
          slot + Layout::kKeyBytes + own_key(k, lane) * (kDims * Layout::kValueBits / 8),
          lane / 4 * (kDims / 8));
    }
    return all;
  }
};

// A warp's way through the pages of its team: copies of its codes through the ring.
template <typename Format, int kDims, int kDimWarps>
struct CodedPages {
  using Layout = CodedLayout<Format, kDims, kDimWarps>;
  static constexpr int kSlots = Layout::kSlots;

  const KvLayerView& kv;
  const int32_t* table;
  int kv_head;
  int dim_warp;
  int lane;
  int begin;  // page
  int end;
  uint8_t* ring;
  int ids = 0;  // of the 32 pages from a multiple of 32 (after begin) on, the lane's
  int issued = 0;
  int used = 0;

  // The warp's dims of 16 vectors: kPieces pieces of 16 bytes; of all dims kPieces * kDimWarps.
  template <int kPieces>
  __device__ __forceinline__ void copy_vectors(uint32_t to, const void* plane, int64_t page) {
    constexpr int kOfKey = kPieces / kKvBlockTokens;
    const uint8_t* from = static_cast<const uint8_t*>(plane) + page * (kPieces * kDimWarps * 16);
#pragma unroll
    for (int i = 0; i < (kPieces + kWarp - 1) / kWarp; ++i) {
      const int piece = i * kWarp + lane;
      int at = piece;
      if constexpr (kDimWarps > 1) {
        at = piece / kOfKey * (kOfKey * kDimWarps) + dim_warp * kOfKey + piece % kOfKey;
      }
      copy_async16_if(to + piece * 16, from + at * 16, piece < kPieces);
    }
  }
  __device__ __forceinline__ void issue() {
    if (begin + issued < end) {
      if (issued % kWarp == 0) ids = table[min(begin + issued + lane, end - 1)];
      const int64_t page =
          int64_t{__shfl_sync(kAllLanes, ids, issued % kWarp)} * kv.n_kv_heads + kv_head;
      const uint32_t to = shared_address(ring) + issued % kSlots * Layout::kSlotBytes;
      copy_vectors<Layout::kKeyBytes / 16>(to, kv.k, page);
      copy_vectors<Layout::kValueBytes / 16>(to + Layout::kKeyBytes, kv.v, page);
      constexpr int kPieces = Layout::kGainBytes / 16;  // of all dims
      const uint32_t gains = to + Layout::kKeyBytes + Layout::kValueBytes;
      const uint16_t* plane = lane < kPieces ? kv.k_gains : kv.v_gains;
      copy_async16_if(gains + lane * 16,
                      plane + page * (kKvBlockTokens * kDimWarps) + lane % kPieces * 8,
                      lane < 2 * kPieces);
    }
    commit_copies();
    ++issued;
  }
  __device__ __forceinline__ void start() {
#pragma unroll 1
    for (int i = 0; i < kSlots - 1; ++i) issue();
  }
  // The next page, which has come; the slot before it is refilled.
  __device__ __forceinline__ CodesInSlot<Format, kDims, kDimWarps> next(const uint8_t* tables,
                                                                        float key_unit,
                                                                        float value_unit) {
    wait_copies<kSlots - 2>();
    __syncwarp();
    const uint8_t* slot = ring + used % kSlots * Layout::kSlotBytes;
    ++used;
    issue();
    return {slot, tables, key_unit, value_unit, dim_warp, lane};
  }
};

// Keys [from, to) of the page that begins at key `page_key`.
struct PageKeys {
  int page_key;
  int from;
  int to;
  __device__ bool has(int at) const { return page_key + at >= from && page_key + at < to; }
};

// A near page in memory; kDim: numbers of a vector.
template <int kDims, int kDim>
struct NearPage {
  static constexpr int kSteps = kDims / 16;
  const __half* keys;  // the warp's dims of the first
  const __half* vectors;
  PageKeys seen;
  int lane;

  __device__ __forceinline__ NearPage(const KvLayerView& near, int64_t page, int kv_head,
                                      int dim_warp, const PageKeys& seen_keys, int own_lane)
      : seen(seen_keys), lane(own_lane) {
    const int64_t first =
        (page * near.n_kv_heads + kv_head) * (kKvBlockTokens * kDim) + dim_warp * kDims;
    keys = static_cast<const __half*>(near.k) + first;
    vectors = static_cast<const __half*>(near.v) + first;
  }
  __device__ __forceinline__ void score(const uint32_t (&q)[kSteps][4], float2 (&out)[2]) const {
#pragma unroll 1
    for (int n = 0; n < 2; ++n) {
      const auto* key =
          reinterpret_cast<const uint4*>(keys + (8 * n + lane / 4) * kDim + lane % 4 * (kDims / 4));
      float product[2][4] = {};
#pragma unroll
      for (int s = 0; s < kSteps; s += 2) {
        const uint4 numbers = key[s / 2];
        multiply16<__half>(product[0], q[s], numbers.x, numbers.y);
        multiply16<__half>(product[1], q[s + 1], numbers.z, numbers.w);
      }
      const float2 sum = {(product[0][0] + product[1][0]) + (product[0][2] + product[1][2]),
                          (product[0][1] + product[1][1]) + (product[0][3] + product[1][3])};
      out[0] = n == 0 ? sum : out[0];
      out[1] = sum;
    }
  }
  struct Values {
    uint32_t words[4][kDims / 16];
    __device__ __forceinline__ void operator()(int m, uint32_t (&a)[4]) const {
      pair_keys(a, words[0][m], words[1][m], words[2][m], words[3][m]);
    }
  };
  __device__ __forceinline__ Values values() const {
    Values all;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const int key = own_key(k, lane);
      const bool there = seen.has(key);  // others may hold NaN, which no weight of 0 removes
      const auto* from =
          reinterpret_cast<const uint4*>(vectors + key * kDim + lane / 4 * (kDims / 8));
#pragma unroll
      for (int w = 0; w < kDims / 16; w += 4) {
        const uint4 four = there ? from[w / 4] : uint4{};
        all.words[k][w] = four.x, all.words[k][w + 1] = four.y;
        all.words[k][w + 2] = four.z, all.words[k][w + 3] = four.w;
      }
    }
    return all;
  }
};

}  // namespace tq::cuda
