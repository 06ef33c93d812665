// The arithmetic of the fused product (fused.cuh): a warp's row tiles, group by group, from codes
// in shared memory to fp32 sums.
#pragma once

#include "kernels/cuda/device/common.cuh"
#include "kernels/cuda/device/windows.cuh"

namespace tq::cuda {

constexpr int kStageIn = 128;  // inputs of a stage of copies
template <int kKind, int kGroup>
__host__ __device__ constexpr int stage_bytes() {
  return kStageIn / unit_in(kGroup) * unit_bytes(kKind, kGroup);
}
// Token tiles up to which activations lie in shared memory as a whole.
constexpr int kResidentTiles = 1;
// Token tiles up to which windows are multiplied term by term: more are worth adding the terms.
constexpr int kMostTermTiles = 2;

// Sums that start at the bits of 1.5 * 2^23 are that float plus the sum: no conversion.
constexpr int kMagicBits = 0x4b400000;
constexpr float kMagic = 12582912.0f;

__device__ __forceinline__ void multiply_tile(int (&sum)[4], const uint32_t* a, uint32_t b0,
                                              uint32_t b1) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},"
      "{%0,%1,%2,%3};"
      : "+r"(sum[0]), "+r"(sum[1]), "+r"(sum[2]), "+r"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ __forceinline__ void multiply_first(int (&sum)[4], const uint32_t* a, uint32_t b0,
                                               uint32_t b1, int start = kMagicBits) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},"
      "{%10,%10,%10,%10};"
      : "=r"(sum[0]), "=r"(sum[1]), "=r"(sum[2]), "=r"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "r"(start));
}

// Sixteen activations from the by-th of x on (1 or 2); `next`: what comes behind x.
__device__ __forceinline__ uint4 moved_down(const uint4& x, uint32_t next, int by) {
  const uint32_t selector = by == 1 ? 0x4321u : 0x5432u;
  return {permute(x.x, x.y, selector), permute(x.y, x.z, selector), permute(x.z, x.w, selector),
          permute(x.w, next, selector)};
}

template <int kKind, int kGroup, int kTokenTiles, int kTiles>
class TileProduct {
  static constexpr bool kByTerms = is_window(kKind) && kTokenTiles <= kMostTermTiles;

 public:
  using Tables = CodeTables<kKind, !kByTerms>;
  // Of the activations that b() gives below: as they are, or also moved.
  static constexpr int kStoredTerms =
      kByTerms && kTokenTiles <= kResidentTiles ? WindowCodes<kKind>::kTerms : 1;
  float out[kTiles][kTokenTiles][4];

  __device__ void clear() {
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
#pragma unroll
      for (int n = 0; n < kTokenTiles; ++n) {
#pragma unroll
        for (int k = 0; k < 4; ++k) out[m][n][k] = 0;
      }
    }
  }

  static __device__ __forceinline__ Tables tables_of(const Centroids8& centroids) {
    return code_tables<kKind, !kByTerms>(centroids);
  }

  // One group: kChunks chunks of every tile. `unit`: its unit in the first tile's stage. b(n, c,
  // term): the fragment of token tile n, chunk c, moved by `term` < kStoredTerms activations;
  // scale(n): of tokens 2 * (lane % 4) and the next.
  template <int kChunks, typename B, typename Scale>
  __device__ __forceinline__ void multiply_group(const uint8_t* unit, const Tables& tables,
                                                 int lane, int n_token_tiles, B b, Scale scale) {
    if constexpr (kByTerms) {
      return multiply_terms<kChunks>(unit, tables, lane, b, scale);
    } else {
      uint32_t a[kTiles][kChunks][8];
      float gain[kTiles][2];
#pragma unroll
      for (int m = 0; m < kTiles; ++m) {
        decode_tile<kChunks>(unit + m * kStage, tables, lane, a[m]);
        load_gains(unit + m * kStage, lane, gain[m]);
      }
#pragma unroll
      for (int n = 0; n < kTokenTiles; ++n) {
        if (kTokenTiles > 1 && n >= n_token_tiles) break;
        uint4 x[kChunks];
#pragma unroll
        for (int c = 0; c < kChunks; ++c) x[c] = b(n, c, 0);
        const float2 x_scale = scale(n);
#pragma unroll
        for (int m = 0; m < kTiles; ++m) {
          int sum[4];
          multiply_first(sum, a[m][0], x[0].x, x[0].y);
          multiply_tile(sum, a[m][0] + 4, x[0].z, x[0].w);
#pragma unroll
          for (int c = 1; c < kChunks; ++c) {
            multiply_tile(sum, a[m][c], x[c].x, x[c].y);
            multiply_tile(sum, a[m][c] + 4, x[c].z, x[c].w);
          }
          add_scaled(sum, gain[m], x_scale, out[m][n]);
        }
      }
    }
  }

 private:
  static constexpr int kStage = stage_bytes<kKind, kGroup>();

  static __device__ __forceinline__ void load_words(const uint8_t* unit, int chunk, int lane,
                                                    uint32_t (&words)[bits_of(kKind)]) {
    const auto* from = reinterpret_cast<const uint32_t*>(unit + chunk * chunk_bytes(kKind)) + lane;
#pragma unroll
    for (int w = 0; w < bits_of(kKind); ++w) words[w] = from[w * kWarp];
  }
  static __device__ __forceinline__ void load_gains(const uint8_t* unit, int lane,
                                                    float (&gain)[2]) {
    const auto* gains = reinterpret_cast<const __half*>(unit + unit_code_bytes(kKind, kGroup));
    gain[0] = __half2float(gains[lane / 4]);
    gain[1] = __half2float(gains[lane / 4 + 8]);
  }
  template <int kChunks>
  static __device__ __forceinline__ void decode_tile(const uint8_t* unit, const Tables& tables,
                                                     int lane, uint32_t (&a)[kChunks][8]) {
    uint32_t words[kChunks][bits_of(kKind)];
#pragma unroll
    for (int c = 0; c < kChunks; ++c) load_words(unit, c, lane, words[c]);
    if constexpr (is_window(kKind)) {
      decode_group<kKind>(words, tables, lane, a);
    } else {
#pragma unroll
      for (int c = 0; c < kChunks; ++c) decode_words<kKind>(words[c], tables, a[c]);
    }
  }
  static __device__ __forceinline__ void add_scaled(const int (&sum)[4], const float (&gain)[2],
                                                    float2 x_scale, float (&to)[4]) {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const float factor = gain[k / 2] * (k % 2 == 0 ? x_scale.x : x_scale.y);
      to[k] = fmaf(__int_as_float(sum[k]) - kMagic, factor, to[k]);
    }
  }

  // Windows, where tokens are few: what a weight's own code contributes is multiplied with its
  // activation, what it contributes to the weights behind it with theirs. Activations change places
  // instead of values, and nothing is added before it is multiplied; the sums are those of
  // multiply_group(). Also of tokens that are not there.
  template <int kChunks, typename B, typename Scale>
  __device__ __forceinline__ void multiply_terms(const uint8_t* unit, const Tables& tables,
                                                 int lane, B b, Scale scale) {
    using Codes = WindowCodes<kKind>;
    constexpr int kTerms = Codes::kTerms;
    int sum[kTerms][kTiles][kTokenTiles][4];
#pragma unroll
    for (int c = 0; c < kChunks; ++c) {
      uint4 terms[kTokenTiles][kTerms];
#pragma unroll
      for (int n = 0; n < kTokenTiles; ++n) {
        terms[n][0] = b(n, c, 0);
        if constexpr (kStoredTerms > 1) {
#pragma unroll
          for (int term = 1; term < kTerms; ++term) terms[n][term] = b(n, c, term);
        } else {
          // The first activations of the next lane; behind a chunk, of the group's next chunk.
          const uint32_t sent = lane % 4 == 0 ? b(n, kChunks - 1 - c, 0).x : terms[n][0].x;
          const uint32_t next = __shfl_sync(kAllLanes, sent, (lane & ~3) | ((lane + 1) & 3));
          terms[n][1] = moved_down(terms[n][0], next, 1);
          if constexpr (kTerms == 3) terms[n][2] = moved_down(terms[n][0], next, 2);
        }
      }
#pragma unroll
      for (int m = 0; m < kTiles; ++m) {
        uint32_t words[bits_of(kKind)];
        load_words(unit + m * kStage, c, lane, words);
        const Codes codes(words);
#pragma unroll
        for (int term = 0; term < kTerms; ++term) {
          uint32_t a[8];
#pragma unroll
          for (int r = 0; r < 8; ++r) {
            if constexpr (kTerms == 3) {
              a[r] = term == 0   ? codes.newest(tables, r)
                     : term == 1 ? codes.previous(tables, r)
                                 : codes.earlier(tables, r);
            } else {
              a[r] = term == 0 ? codes.newest(tables, r) : codes.previous(tables, r);
            }
          }
#pragma unroll
          for (int n = 0; n < kTokenTiles; ++n) {
            int(&to)[4] = sum[term][m][n];
            const uint4& fragment = terms[n][term];
            if (c == 0) {
              multiply_first(to, a, fragment.x, fragment.y, term == 0 ? kMagicBits : 0);
            } else {
              multiply_tile(to, a, fragment.x, fragment.y);
            }
            multiply_tile(to, a + 4, fragment.z, fragment.w);
          }
        }
      }
    }
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
      float gain[2];
      load_gains(unit + m * kStage, lane, gain);
#pragma unroll
      for (int n = 0; n < kTokenTiles; ++n) {
        int all[4];
#pragma unroll
        for (int k = 0; k < 4; ++k) {
          all[k] = sum[0][m][n][k];
#pragma unroll
          for (int term = 1; term < kTerms; ++term) all[k] += sum[term][m][n][k];
        }
        add_scaled(all, gain, scale(n), out[m][n]);
      }
    }
  }
};

}  // namespace tq::cuda
