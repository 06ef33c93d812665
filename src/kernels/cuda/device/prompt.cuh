// Attention of prompts over paged f16 caches on tensor cores. A block takes a tile of 64 rows
// (query, head) of one sequence that read one kv head, and walks over their keys in chunks of
// kChunkKeys at fixed positions with a running softmax. A warp has 16 rows: it multiplies them by
// all keys of a chunk, and the weights stay in its registers as the operand of the product with the
// values. Where a value has more than 256 dims two warps share 16 rows: each takes half of the
// keys, then half of the dims.
//
// Keys of the next chunk are copied while values are multiplied, and values while keys are; latent
// caches, in which values are the first part of the keys, have two buffers instead.
//
// Queries and weights are rounded to f16, as the cache is (2^-12); sums are fp32. A chunk that a
// row does not see changes none of its bits, so they do not depend on the tile.
#pragma once

#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/device/attention_tile.cuh"
#include "kernels/cuda/device/mma16.cuh"

namespace tq::cuda {

constexpr int kGroupRows = 16;  // of a warp
constexpr int kGroups = 4;
constexpr int kPromptRows = kGroupRows * kGroups;

struct PromptParams {
  AttentionArgs args;
  AttentionParts parts;  // n == 0: outputs go to args.out
};

// Blocks of an SM.
constexpr int blocks_of(int64_t value_dim) { return value_dim > 256 ? 1 : value_dim > 64 ? 2 : 3; }

// kKeyDim, kValueDim: multiples of 64 that the head's dims fit in.
template <int kKeyDim, int kValueDim, bool kLatent>
struct PromptShape {
  static constexpr int kDimWarps = kValueDim > 256 ? 2 : 1;  // that share rows
  static constexpr int kThreads = kGroups * kDimWarps * kWarp;
  static constexpr int kBlocks = blocks_of(kValueDim);
  static constexpr int kQueryBytes = kPromptRows * kKeyDim * 2;
  static constexpr int kKeyBytes = kChunkKeys * kKeyDim * 2;
  static constexpr int kValueBytes = kLatent ? kKeyBytes : kChunkKeys * kValueDim * 2;
  static constexpr int kWeightBytes = kDimWarps > 1 ? kPromptRows* kChunkKeys * 2 : 0;
  static constexpr int kAlign = 128;
  static constexpr int kBytes = kAlign + kQueryBytes + kKeyBytes + kValueBytes + kWeightBytes;
};

// Warps that share 16 rows.
__device__ __forceinline__ void sync_pair(int group) { sync_warps<2>(group + 1); }

// The keys that a tile's rows see, and where they lie.
struct KeyRange {
  int first;
  int last;
  const int32_t* pages;
};

// The pages of a chunk's keys, and the copies of its keys or values: 8 lanes a key.
template <int kThreads>
struct ChunkPages {
  static constexpr int kKeysAtOnce = kThreads / 8;
  static constexpr int kPasses = kChunkKeys / kKeysAtOnce;
  int page[kPasses];

  __device__ __forceinline__ void load(const KeyRange& range, int chunk) {
#pragma unroll
    for (int j = 0; j < kPasses; ++j) {
      const int key = chunk * kChunkKeys + j * kKeysAtOnce + static_cast<int>(threadIdx.x) / 8;
      page[j] = range.pages[min(max(key, range.first), range.last) / kKvBlockTokens];
    }
  }
  // The chunk's vectors of plane [pages, n_kv_heads, kKvBlockTokens, dim] to rows of kDim; zeros
  // where a key or its end is missing.
  template <int kDim>
  __device__ __forceinline__ void copy(uint32_t to, const void* plane, int dim, int n_kv_heads,
                                       int kv_head, const KeyRange& range, int chunk) const {
    const int place = static_cast<int>(threadIdx.x) / 8;
    const int piece = static_cast<int>(threadIdx.x) % 8;
#pragma unroll
    for (int j = 0; j < kPasses; ++j) {
      const int at = j * kKeysAtOnce + place;
      const int key = chunk * kChunkKeys + at;
      const bool there = key >= range.first && key <= range.last;
      const int64_t slot =
          (int64_t{page[j]} * n_kv_heads + kv_head) * kKvBlockTokens + key % kKvBlockTokens;
      const __half* from = static_cast<const __half*>(plane) + slot * dim + piece * 8;
      const uint32_t row = to + at * (kDim * 2) + piece_offset(at, piece);
#pragma unroll
      for (int d = 0; d < kDim; d += 64) {
        const bool inside = there && d + piece * 8 < dim;
        copy_async16_or_zero(row + d * 2, inside ? from + d : plane, inside);
      }
    }
  }
};

template <int kKeyDim, int kValueDim, bool kLatent>
__global__ void __launch_bounds__(PromptShape<kKeyDim, kValueDim, kLatent>::kThreads,
                                  PromptShape<kKeyDim, kValueDim, kLatent>::kBlocks)
    attention_prompt_kernel(const __grid_constant__ PromptParams p) {
  using Shape = PromptShape<kKeyDim, kValueDim, kLatent>;
  constexpr int kDimWarps = Shape::kDimWarps;
  constexpr int kThreads = Shape::kThreads;
  constexpr int kKeyTiles = kChunkKeys / 8 / kDimWarps;  // of 8 keys, of a warp
  constexpr int kDimTiles = kValueDim / 8 / kDimWarps;   // of 8 dims, of a warp
  constexpr int kKeySteps = kKeyDim / 16;
  constexpr bool kHoldsQueries = kKeyDim <= 128;  // in registers
  extern __shared__ uint8_t prompt_shared[];
  __shared__ float exchanged[kDimWarps][kPromptRows];
  start_kernel();

  const AttentionArgs& args = p.args;
  const KvLayerView& kv = args.kv;
  const int n_kv_heads = static_cast<int>(kv.n_kv_heads);
  const int kv_head = static_cast<int>(blockIdx.x);
  const int64_t heads = args.n_heads / kv.n_kv_heads;  // that share keys
  // Later tiles see more keys: they begin first.
  const Tile tile =
      find_tile<kPromptRows>(args, heads, static_cast<int>(gridDim.y - 1 - blockIdx.y));
  if (tile.n == 0) return;
  const int window = static_cast<int>(args.window);
  const auto first_seen = [&](int position) {
    return window > 0 ? max(0, position - window + 1) : 0;
  };
  const auto position = [&](int row) {
    return static_cast<int>(tile.position(heads, min(row, tile.n - 1)));
  };
  const KeyRange range{first_seen(position(0)), position(kPromptRows),
                       args.batch.block_tables + tile.seq * args.batch.max_blocks};
  // The block's part of the tile's chunks.
  const int first_chunk = range.first / kChunkKeys;
  const int n_chunks = range.last / kChunkKeys + 1 - first_chunk;
  const int z = static_cast<int>(blockIdx.z);
  const int n_parts = static_cast<int>(gridDim.z);
  int chunk = first_chunk + n_chunks * z / n_parts;
  const int end_chunk = first_chunk + n_chunks * (z + 1) / n_parts;

  const int warp = threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  const int part = warp / kGroups;
  const int group_row = warp % kGroups * kGroupRows;
  const uint32_t queries =
      (shared_address(prompt_shared) + Shape::kAlign - 1) / Shape::kAlign * Shape::kAlign;
  const uint32_t weights = queries + Shape::kQueryBytes;
  uint32_t keys = weights + Shape::kWeightBytes;
  uint32_t values = keys + Shape::kKeyBytes;  // of latent caches: the other keys

  ChunkPages<kThreads> pages;
  const auto copy_keys = [&](uint32_t to, int at) {
    pages.template copy<kKeyDim>(to, kv.k, static_cast<int>(kv.k_dim), n_kv_heads, kv_head, range,
                                 at);
    commit_copies();
  };
  const auto copy_values = [&](int at) {
    pages.template copy<kValueDim>(values, kv.v, static_cast<int>(kv.v_dim), n_kv_heads, kv_head,
                                   range, at);
    commit_copies();
  };
  pages.load(range, chunk);
  copy_keys(keys, chunk);
  for (int r = static_cast<int>(threadIdx.x) / 8; r < kPromptRows; r += kThreads / 8) {
    const int piece = static_cast<int>(threadIdx.x) % 8;
    const float* from = args.q + tile.vector(args, heads, kv_head, min(r, tile.n - 1)) * kv.k_dim;
#pragma unroll
    for (int d = 0; d < kKeyDim; d += 64) {
      const int at = d + piece * 8;
      float4 x[2] = {};
      if (at < kv.k_dim) {
        x[0] = *reinterpret_cast<const float4*>(from + at);
        x[1] = *reinterpret_cast<const float4*>(from + at + 4);
      }
      store_shared(queries + r * (kKeyDim * 2) + d * 2 + piece_offset(r, piece),
                   {pack_half2(x[0].x, x[0].y), pack_half2(x[0].z, x[0].w),
                    pack_half2(x[1].x, x[1].y), pack_half2(x[1].z, x[1].w)});
    }
  }
  wait_copies<0>();
  __syncthreads();
  if (!kLatent) copy_values(chunk);

  // Where this lane's fragments lie in a row of 64 elements: step s takes pieces 2 s and 2 s + 1.
  uint32_t row_step[4], column_step[4];
#pragma unroll
  for (int s = 0; s < 4; ++s) {
    row_step[s] = piece_offset(lane % 8, 2 * s + lane / 16);  // rows of A; values
    column_step[s] = piece_offset(lane % 8, 2 * s + lane / 8 % 2);
  }
  const uint32_t query_row = queries + (group_row + lane % 16) * (kKeyDim * 2);
  const uint32_t weight_row = weights + (group_row + lane % 16) * (kChunkKeys * 2);
  const int key_row = (part * kKeyTiles * 8 + lane % 8 + lane / 16 * 8) * (kKeyDim * 2);
  constexpr int kValueStride = (kLatent ? kKeyDim : kValueDim) * 2;
  const int value_row = lane % 16 * kValueStride + part * (kDimTiles * 16);
  uint32_t held[kHoldsQueries ? kKeySteps : 1][4];
  if constexpr (kHoldsQueries) {
#pragma unroll
    for (int s = 0; s < kKeySteps; ++s) {
      load_matrices_at(held[s], query_row + s / 4 * 128 + row_step[s % 4]);
    }
  }

  // The lane's two rows.
  int see_to[2], see_from[2];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    see_to[h] = position(group_row + lane / 4 + 8 * h);
    see_from[h] = first_seen(see_to[h]);
  }
  const int warp_first = position(group_row);
  const int warp_last = position(group_row + kGroupRows - 1);
  const float factor = args.softcap > 0 ? kLog2e : args.scale * kLog2e;
  float out[kDimTiles][4] = {};
  float top[2] = {-INFINITY, -INFINITY};  // of scores * factor
  float sum[2] = {};                      // of this lane's keys

  for (; chunk < end_chunk; ++chunk) {
    const bool more = chunk + 1 < end_chunk;
    if (more) pages.load(range, chunk + 1);
    if (kLatent && more) copy_keys(values, chunk + 1);
    const int first = chunk * kChunkKeys;
    // Whether any row of the warp sees a key. Warps that share rows meet in the middle: all do.
    const bool seen =
        kDimWarps > 1 || (first <= warp_last && first + kChunkKeys > first_seen(warp_first));
    float score[kKeyTiles][4] = {};
    if (seen) {
      constexpr int kSegments = kKeyDim / 64;
      constexpr int kUnroll = kHoldsQueries ? kSegments : kSegments % 4 == 0 ? 2 : 1;
#pragma unroll kUnroll
      for (int segment = 0; segment < kSegments; ++segment) {
#pragma unroll
        for (int s = 0; s < 4; ++s) {
          uint32_t loaded[4];
          if constexpr (!kHoldsQueries) {
            load_matrices_at(loaded, query_row + segment * 128 + row_step[s]);
          }
          const uint32_t(&a)[4] =
              kHoldsQueries ? held[kHoldsQueries ? segment * 4 + s : 0] : loaded;
#pragma unroll
          for (int n = 0; n < kKeyTiles; n += 2) {
            uint32_t b[4];
            load_matrices_at(
                b, keys + key_row + n * (8 * kKeyDim * 2) + segment * 128 + column_step[s]);
            multiply16<__half>(score[n], a, b[0], b[1]);
            multiply16<__half>(score[n + 1], a, b[2], b[3]);
          }
        }
      }
    }
    if (!kLatent) {
      wait_copies<0>();
      __syncthreads();  // values have come; keys are free
      if (more) copy_keys(keys, chunk + 1);
    }
    if (seen) {
      if (args.softcap > 0) {
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
          for (int k = 0; k < 4; ++k) {
            score[n][k] = args.softcap * tanhf(score[n][k] * args.scale / args.softcap);
          }
        }
      }
      if (first + kChunkKeys - 1 > warp_first || first < first_seen(warp_last)) {
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
          for (int k = 0; k < 4; ++k) {
            const int key = first + (part * kKeyTiles + n) * 8 + lane % 4 * 2 + k % 2;
            if (key < see_from[k / 2] || key > see_to[k / 2]) score[n][k] = -INFINITY;
          }
        }
      }
      float newest[2], shift[2], before[2];
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        newest[h] = -INFINITY;
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n) {
          newest[h] = fmaxf(newest[h], fmaxf(score[n][2 * h], score[n][2 * h + 1]));
        }
        newest[h] = quad_max(newest[h]);
      }
      if constexpr (kDimWarps > 1) {
        const int row = group_row + lane / 4;
        if (lane % 4 == 0) {
          exchanged[part][row] = newest[0];
          exchanged[part][row + 8] = newest[1];
        }
        sync_pair(warp % kGroups);
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          newest[h] = fmaxf(newest[h], exchanged[1 - part][row + 8 * h]);
        }
      }
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        newest[h] = fmaxf(top[h], __fmul_rn(newest[h], factor));
        shift[h] = newest[h] == -INFINITY ? 0.0f : newest[h];
        before[h] = exp2_fast(top[h] - shift[h]);
      }
      if (__any_sync(kAllLanes, newest[0] > top[0] || newest[1] > top[1])) {
#pragma unroll
        for (int n = 0; n < kDimTiles; ++n) {
#pragma unroll
          for (int k = 0; k < 4; ++k) out[n][k] *= before[k / 2];
        }
      }
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        top[h] = newest[h];
        float added = 0;
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
          for (int k = 2 * h; k < 2 * h + 2; ++k) {
            score[n][k] = exp2_fast(__fmaf_rn(score[n][k], factor, -shift[h]));
            added += score[n][k];
          }
        }
        sum[h] = __fmaf_rn(sum[h], before[h], added);
      }
      if constexpr (kDimWarps > 1) {
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
          for (int h = 0; h < 2; ++h) {
            const int row = group_row + lane / 4 + 8 * h;
            const uint32_t to = weights + row * (kChunkKeys * 2) +
                                piece_offset(row, part * kKeyTiles + n) + lane % 4 * 4;
            asm volatile("st.shared.b32 [%0], %1;" ::"r"(to),
                         "r"(pack_half2(score[n][2 * h], score[n][2 * h + 1]))
                         : "memory");
          }
        }
        sync_pair(warp % kGroups);
      }
      const uint32_t value_at = (kLatent ? keys : values) + value_row;
#pragma unroll
      for (int s = 0; s < kChunkKeys / 16; ++s) {
        uint32_t a[4];
        if constexpr (kDimWarps > 1) {
          load_matrices_at(a, weight_row + row_step[s]);
        } else {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            const float* pair = score[2 * s + i / 2] + i % 2 * 2;
            a[i] = pack_half2(pair[0], pair[1]);
          }
        }
#pragma unroll
        for (int n = 0; n < kDimTiles; n += 2) {
          uint32_t b[4];
          load_matrices_transposed_at(
              b, value_at + s * (16 * kValueStride) + n / 8 * 128 + row_step[n % 8 / 2]);
          multiply16<__half>(out[n], a, b[0], b[1]);
          multiply16<__half>(out[n + 1], a, b[2], b[3]);
        }
      }
    }
    wait_copies<0>();
    __syncthreads();  // the next keys have come; values are free
    if (kLatent) {
      const uint32_t next = values;
      values = keys;
      keys = next;
    } else if (more) {
      copy_values(chunk + 1);
    }
  }

#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int row = group_row + lane / 4 + 8 * h;
    float total = quad_sum(sum[h]);
    if constexpr (kDimWarps > 1) {
      if (lane % 4 == 0) exchanged[part][row] = total;
      sync_pair(warp % kGroups);
      total = exchanged[0][row] + exchanged[1][row];
    }
    if (row >= tile.n) continue;
    const int64_t vector = tile.vector(args, heads, kv_head, row);
    float* to = args.out + vector * kv.v_dim;
    float divisor = total;
    if (p.parts.n > 0) {
      const int64_t at = vector * n_parts + z;
      to = p.parts.values + at * kv.v_dim;
      divisor = 1;
      if (part == 0 && lane % 4 == 0) p.parts.stats[at] = make_float2(top[h] * kLn2, total);
    }
#pragma unroll
    for (int n = 0; n < kDimTiles; ++n) {
      const int d = (part * kDimTiles + n) * 8 + lane % 4 * 2;
      if (d >= kv.v_dim) continue;
      *reinterpret_cast<float2*>(to + d) =
          make_float2(__fdiv_rn(out[n][2 * h], divisor), __fdiv_rn(out[n][2 * h + 1], divisor));
    }
  }
}

}  // namespace tq::cuda
