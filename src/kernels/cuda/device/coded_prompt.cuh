// Attention of prompts over a cache of codes on tensor cores. As device/prompt.cuh: a block takes a
// tile of rows (query, head) of one sequence that read one kv head and walks over their keys in
// chunks with a running softmax; a warp has 16 rows. Here a chunk's codes are brought to shared
// memory as they are and become f16 in the rotated basis there, once for all rows of the tile; each
// thread expands what it copied itself, so that no barrier is needed in between. Chunks of near
// pages, whose numbers are of the same basis, are copied.
//
// A row reads keys of three kinds: codes, sinks and tail (KeyParts). Chunks of one kind follow one
// another; what a row does not see of a chunk is masked.
//
// Queries, numbers of the cache and weights are rounded to f16 (2^-12); sums are fp32.
#pragma once

#include <cfloat>

#include "kernels/cuda/attention/coded_prompt.h"
#include "kernels/cuda/device/attention_tile.cuh"
#include "kernels/cuda/device/coded.cuh"
#include "kernels/cuda/device/coded_pages.cuh"
#include "kernels/cuda/device/mma16.cuh"

namespace tq::cuda {

struct CodedPromptParams {
  CodedParams coded;
  AttentionParts parts;  // n == 0: outputs go to args.out
  RotationMasks masks;
  HalfBook key_book;
  HalfBook value_book;
  float key_unit;
  float value_unit;
};

template <typename Format, int kDim>
struct CodedPromptShape {
  static constexpr int kGroupRows = 16;  // of a warp
  static constexpr int kDimWarps = kDim > 256 ? 2 : 1;
  static constexpr int kGroups = kDim > 256 ? 4 : 8;
  static constexpr int kRows = kGroupRows * kGroups;
  static constexpr int kThreads = kGroups * kDimWarps * kWarp;
  static constexpr int kKeys = kDim > 256 ? 32 : 64;  // of a chunk
  static constexpr int kBlocks = kDim > 64 ? 1 : 2;   // of an SM
  static constexpr int kBlockDims = 32;               // that a thread expands at a time
  static constexpr int kOfKey = kDim / kBlockDims;
  static constexpr int kUnits = (kKeys * kOfKey + kThreads - 1) / kThreads;  // of a thread
  using KeyTable = PairTable<Format::Keys::kBits, kDim <= 128 ? 5 : 3>;
  using ValueTable = PairTable<Format::Values::kBits, kDim <= 128 ? 5 : 3>;
  static constexpr bool kOneTable = Format::Keys::kBits == Format::Values::kBits;
  static constexpr int kValueTable = kOneTable ? 0 : KeyTable::kBytes;
  static constexpr int kTableBytes = KeyTable::kBytes + (kOneTable ? 0 : ValueTable::kBytes);
  static constexpr int kTileBytes = kKeys * kDim * 2;
  static constexpr int kQueryBytes = kRows * kDim * 2;
  static constexpr int kWeightPitch = 128;  // bytes of a row, also of fewer keys
  static constexpr int kWeightBytes = kDimWarps > 1 ? kRows* kWeightPitch : 0;
  template <int kBits>
  static constexpr int kStageBytes = kUnits*(kBits + 1) * kThreads * 4;
  static constexpr int kKeyStage = kStageBytes<Format::Keys::kBits>;
  static constexpr int kValueStage = kStageBytes<Format::Values::kBits>;
  static constexpr int kAlign = 128;
  static constexpr int kBytes =
      kAlign + kTableBytes + kQueryBytes + 2 * kTileBytes + kWeightBytes + kKeyStage + kValueStage;
};

// Some chunk of a tile's keys, all of one kind.
struct CodedChunk {
  int kind;   // 0: codes, 1: sinks, 2: tail
  int first;  // key
  int from;   // keys [from, to) are seen by some row
  int to;
  const int32_t* pages;
};
__device__ __forceinline__ int2 range_of(const KeyParts& keys, int kind) {
  if (kind == 0) return {keys.far_begin(), keys.tail};
  if (kind == 1) return {keys.first, keys.sinks};
  return {keys.tail_begin(), keys.end};
}

// A thread's part of a chunk of codes, between memory and the tile.
template <typename Shape, int kBits, typename Table>
struct CodeStage {
  static constexpr int kDim = Shape::kOfKey * Shape::kBlockDims;
  static constexpr int kGroup = kDim < 128 ? kDim : 128;
  const void* codes;
  const uint16_t* gains;
  int n_kv_heads;
  int kv_head;
  uint32_t* stage;  // [unit, word, thread]
  const uint8_t* table;
  float unit;

  static __device__ __forceinline__ int key_of(int u) {
    return (static_cast<int>(threadIdx.x) + u * Shape::kThreads) / Shape::kOfKey;
  }
  static __device__ __forceinline__ int block_of(int u) {
    return (static_cast<int>(threadIdx.x) + u * Shape::kThreads) % Shape::kOfKey;
  }
  __device__ __forceinline__ int64_t vector_of(const CodedChunk& chunk, int key) const {
    const int at = min(max(chunk.first + key, chunk.from), chunk.to - 1);
    return (int64_t{chunk.pages[at / kKvBlockTokens]} * n_kv_heads + kv_head) * kKvBlockTokens +
           at % kKvBlockTokens;
  }
  static __device__ __forceinline__ int64_t gain_at(int64_t vector, int block) {
    return vector * (kDim / kGroup) + block * Shape::kBlockDims / kGroup;
  }
  __device__ __forceinline__ void copy(const CodedChunk& chunk) const {
#pragma unroll
    for (int u = 0; u < Shape::kUnits; ++u) {
      if (key_of(u) >= Shape::kKeys) break;
      const int64_t vector = vector_of(chunk, key_of(u));
      const auto* from = reinterpret_cast<const uint32_t*>(codes) + vector * (kDim / 32 * kBits) +
                         block_of(u) * kBits;
      uint32_t* const to = stage + u * (kBits + 1) * Shape::kThreads + threadIdx.x;
#pragma unroll
      for (int w = 0; w < kBits; ++w) {
        copy_async4(shared_address(to + w * Shape::kThreads), from + w);
      }
      copy_async4(shared_address(to + kBits * Shape::kThreads),
                  gains + (gain_at(vector, block_of(u)) & ~int64_t{1}));
    }
  }
  // To rows of kDim f16 numbers; zeros where no row sees the key. Copies have come.
  __device__ __forceinline__ void expand(const CodedChunk& chunk, uint32_t tile, int lane) const {
#pragma unroll
    for (int u = 0; u < Shape::kUnits; ++u) {
      const int key = key_of(u), block = block_of(u);
      if (key >= Shape::kKeys) break;
      const uint32_t* const from = stage + u * (kBits + 1) * Shape::kThreads + threadIdx.x;
      uint32_t words[kBits];
#pragma unroll
      for (int w = 0; w < kBits; ++w) words[w] = from[w * Shape::kThreads];
      const int64_t vector = vector_of(chunk, key);
      const uint32_t both = from[kBits * Shape::kThreads];
      const auto half = static_cast<uint16_t>(gain_at(vector, block) % 2 != 0 ? both >> 16 : both);
      const int at = chunk.first + key;
      const bool seen = at >= chunk.from && at < chunk.to;
      const float gain = seen ? __half2float(__ushort_as_half(half)) * unit : 0.0f;
      const __half2 scale = __float2half2_rn(gain);
      const uint32_t row = tile + key * (kDim * 2) + block / 2 * 128;
#pragma unroll
      for (int piece = 0; piece < 4; ++piece) {
        uint32_t numbers[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const uint32_t pair = Table::get(table, words, piece * 4 + i, lane);
          const __half2 number = __hmul2(*reinterpret_cast<const __half2*>(&pair), scale);
          numbers[i] = *reinterpret_cast<const uint32_t*>(&number);
        }
        store_shared(row + piece_offset(key, block % 2 * 4 + piece),
                     {numbers[0], numbers[1], numbers[2], numbers[3]});
      }
    }
  }
};

// The chunk's vectors of a plane of near pages; zeros where no row sees the key.
template <typename Shape>
__device__ __forceinline__ void copy_near(const CodedChunk& chunk, const void* plane,
                                          int n_kv_heads, int kv_head, uint32_t tile) {
  constexpr int kDim = Shape::kOfKey * Shape::kBlockDims;
  constexpr int kPieces = kDim / 8;
#pragma unroll 1
  for (int i = threadIdx.x; i < Shape::kKeys * kPieces; i += Shape::kThreads) {
    const int key = i / kPieces, piece = i % kPieces;
    const int at = chunk.first + key;
    const bool seen = at >= chunk.from && at < chunk.to;
    const int near = min(max(at, chunk.from), chunk.to - 1);
    const int64_t vector =
        (int64_t{chunk.pages[near / kKvBlockTokens]} * n_kv_heads + kv_head) * kKvBlockTokens +
        near % kKvBlockTokens;
    copy_async16_or_zero(tile + key * (kDim * 2) + piece / 8 * 128 + piece_offset(key, piece % 8),
                         static_cast<const __half*>(plane) + vector * kDim + piece * 8, seen);
  }
}

// Block (kv head, tile of rows, part of its chunks).
template <typename Format, int kDim>
__global__ void __launch_bounds__(CodedPromptShape<Format, kDim>::kThreads,
                                  CodedPromptShape<Format, kDim>::kBlocks)
    coded_prompt_kernel(const __grid_constant__ CodedPromptParams p) {
  using Shape = CodedPromptShape<Format, kDim>;
  constexpr int kDimWarps = Shape::kDimWarps, kGroups = Shape::kGroups, kKeys = Shape::kKeys;
  constexpr int kKeyTiles = kKeys / 8 / kDimWarps;  // of 8 keys, of a warp
  constexpr int kDimTiles = kDim / 8 / kDimWarps;   // of 8 dims, of a warp
  constexpr int kSteps = kDim / 16;
  constexpr int kGroup = kDim < 128 ? kDim : 128;
  constexpr bool kHoldsQueries = kDim <= 128;  // in registers
  extern __shared__ __align__(128) uint8_t coded_prompt_shared[];
  __shared__ float exchanged[kDimWarps][Shape::kRows];
  start_kernel();

  const CodedParams& coded = p.coded;
  const AttentionArgs& args = coded.args;
  const KvLayerView& kv = args.kv;
  const int n_kv_heads = static_cast<int>(kv.n_kv_heads);
  const int kv_head = static_cast<int>(blockIdx.x);
  const int64_t heads = args.n_heads / kv.n_kv_heads;  // that share keys
  // Later tiles see more keys: they begin first.
  const Tile tile =
      find_tile<Shape::kRows>(args, heads, static_cast<int>(gridDim.y - 1 - blockIdx.y));
  if (tile.n == 0) return;
  const int near_begin = near_begin_of(coded, tile.seq);
  const auto position = [&](int row) {
    return static_cast<int>(tile.position(heads, min(row, tile.n - 1)));
  };
  const auto keys_of = [&](int at) { return key_parts(coded, near_begin, at); };
  // The tile's chunks of each kind, numbered one after the other.
  int from[3], to[3], chunks[3];
  {
    const KeyParts oldest = keys_of(position(0)), newest = keys_of(position(Shape::kRows));
#pragma unroll
    for (int kind = 0; kind < 3; ++kind) {
      from[kind] = range_of(oldest, kind).x;
      to[kind] = range_of(newest, kind).y;
      const bool any = from[kind] < to[kind] && (kind == 0 || coded.near.k != nullptr);
      chunks[kind] = any ? (to[kind] - 1) / kKeys + 1 - from[kind] / kKeys : 0;
    }
  }
  const int64_t table_at = tile.seq * args.batch.max_blocks;
  const auto chunk_of = [&](int i) -> CodedChunk {
    const int kind = i < chunks[0] ? 0 : i < chunks[0] + chunks[1] ? 1 : 2;
    const int before = kind == 0 ? 0 : kind == 1 ? chunks[0] : chunks[0] + chunks[1];
    const int begin = kind == 0 ? from[0] : kind == 1 ? from[1] : from[2];
    return {kind, (begin / kKeys + i - before) * kKeys, begin,
            kind == 0   ? to[0]
            : kind == 1 ? to[1]
                        : to[2],
            (kind == 0 ? args.batch.block_tables : args.batch.near_tables) + table_at};
  };
  const int n_chunks = chunks[0] + chunks[1] + chunks[2];
  const int z = static_cast<int>(blockIdx.z);
  const int n_parts = static_cast<int>(gridDim.z);
  int at_chunk = n_chunks * z / n_parts;
  const int end_chunk = n_chunks * (z + 1) / n_parts;

  const int warp = threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  const int part = warp / kGroups;
  const int group_row = warp % kGroups * Shape::kGroupRows;
  uint8_t* const tables = coded_prompt_shared;
  uint8_t* const stages = tables + Shape::kTableBytes;
  const uint32_t queries =
      (shared_address(stages + Shape::kKeyStage + Shape::kValueStage) + Shape::kAlign - 1) /
      Shape::kAlign * Shape::kAlign;
  const uint32_t weights = queries + Shape::kQueryBytes;
  const uint32_t keys = weights + Shape::kWeightBytes;
  const uint32_t values = keys + Shape::kTileBytes;
  const CodeStage<Shape, Format::Keys::kBits, typename Shape::KeyTable> key_codes{
      kv.k,   kv.k_gains, n_kv_heads, kv_head, reinterpret_cast<uint32_t*>(stages),
      tables, p.key_unit};
  const CodeStage<Shape, Format::Values::kBits, typename Shape::ValueTable> value_codes{
      kv.v,
      kv.v_gains,
      n_kv_heads,
      kv_head,
      reinterpret_cast<uint32_t*>(stages + Shape::kKeyStage),
      tables + Shape::kValueTable,
      p.value_unit};
  // Codes of both, on their way.
  const auto stage = [&](const CodedChunk& chunk) {
    if (chunk.kind == 0) {
      key_codes.copy(chunk);
      value_codes.copy(chunk);
    }
    commit_copies();
  };
  // What was staged, or near pages, to the tiles. Own copies must have come.
  const auto bring_keys = [&](const CodedChunk& chunk) {
    if (chunk.kind == 0) {
      key_codes.expand(chunk, keys, lane);
    } else {
      copy_near<Shape>(chunk, coded.near.k, n_kv_heads, kv_head, keys);
    }
    commit_copies();
  };
  const auto bring_values = [&](const CodedChunk& chunk) {
    if (chunk.kind == 0) {
      value_codes.expand(chunk, values, lane);
    } else {
      copy_near<Shape>(chunk, coded.near.v, n_kv_heads, kv_head, values);
    }
    commit_copies();
  };

  CodedChunk chunk = chunk_of(at_chunk);
  const bool any = at_chunk < end_chunk;
  if (any) stage(chunk);
  Shape::KeyTable::fill(tables, p.key_book);
  if constexpr (!Shape::kOneTable) {
    Shape::ValueTable::fill(tables + Shape::kValueTable, p.value_book);
  }
  // A warp a row: rotated, as f16.
  for (int r = warp; r < Shape::kRows; r += Shape::kThreads / kWarp) {
    const float* row = args.q + tile.vector(args, heads, kv_head, min(r, tile.n - 1)) * kDim;
#pragma unroll
    for (int first = 0; first < kDim; first += kGroup) {
      RotatedGroup<kGroup> group;
      const int own = first + lane * group.kPerLane;
#pragma unroll
      for (int k = 0; k < group.kPerLane; ++k) group.x[k] = row[own + k];
      group.rotate(p.masks.d1, p.masks.d2, p.masks.scale, lane);
#pragma unroll
      for (int k = 0; k < group.kPerLane; k += 2) {
        const int d = own + k;
        const uint32_t place =
            queries + r * (kDim * 2) + d / 64 * 128 + piece_offset(r, d % 64 / 8) + d % 8 * 2;
        asm volatile("st.shared.b32 [%0], %1;" ::"r"(place),
                     "r"(pack_half2(group.x[k], group.x[k + 1]))
                     : "memory");
      }
    }
  }
  __syncthreads();  // tables are there
  if (any) {
    wait_copies<0>();
    bring_keys(chunk);
    bring_values(chunk);
  }
  wait_copies<0>();
  __syncthreads();

  // Where this lane's fragments lie in a row of 64 elements: step s takes pieces 2 s and 2 s + 1.
  uint32_t row_step[4], column_step[4];
#pragma unroll
  for (int s = 0; s < 4; ++s) {
    row_step[s] = piece_offset(lane % 8, 2 * s + lane / 16);  // rows of A; values
    column_step[s] = piece_offset(lane % 8, 2 * s + lane / 8 % 2);
  }
  const uint32_t query_row = queries + (group_row + lane % 16) * (kDim * 2);
  const uint32_t weight_row = weights + (group_row + lane % 16) * Shape::kWeightPitch;
  const int key_row = (part * kKeyTiles * 8 + lane % 8 + lane / 16 * 8) * (kDim * 2);
  constexpr int kStride = kDim * 2;
  const int value_row = lane % 16 * kStride + part * (kDimTiles * 16);
  uint32_t held[kHoldsQueries ? kSteps : 1][4];
  if constexpr (kHoldsQueries) {
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      load_matrices_at(held[s], query_row + s / 4 * 128 + row_step[s % 4]);
    }
  }
  const int first_position = position(group_row);
  const int last_position = position(group_row + Shape::kGroupRows - 1);
  const int own_positions[2] = {position(group_row + lane / 4), position(group_row + lane / 4 + 8)};
  const float factor = args.softcap > 0 ? kLog2e : args.scale * kLog2e;
  float out[kDimTiles][4] = {};
  float top[2] = {-INFINITY, -INFINITY};  // of scores * factor
  float sum[2] = {};                      // of this lane's keys

  for (; at_chunk < end_chunk; ++at_chunk) {
    const bool more = at_chunk + 1 < end_chunk;
    const CodedChunk next = chunk_of(more ? at_chunk + 1 : at_chunk);
    if (more) stage(next);
    // Whether any row of the warp sees a key, and whether all see all.
    const int2 first_row = range_of(keys_of(first_position), chunk.kind);
    const int2 last_row = range_of(keys_of(last_position), chunk.kind);
    const bool seen =
        kDimWarps > 1 || (chunk.first < last_row.y && chunk.first + kKeys > first_row.x);
    const bool whole = chunk.first >= last_row.x && chunk.first + kKeys <= first_row.y;
    float score[kKeyTiles][4] = {};
    if (seen) {
      constexpr int kSegments = kDim / 64;
      constexpr int kUnroll = kHoldsQueries ? kSegments : 2;
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
            load_matrices_at(b,
                             keys + key_row + n * (8 * kStride) + segment * 128 + column_step[s]);
            multiply16<__half>(score[n], a, b[0], b[1]);
            multiply16<__half>(score[n + 1], a, b[2], b[3]);
          }
        }
      }
    }
    wait_copies<0>();  // own codes of the next chunk; values copied from near pages
    __syncthreads();   // values have come; keys are free
    if (more) bring_keys(next);
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
      if (!whole) {
        const int2 rows[2] = {range_of(keys_of(own_positions[0]), chunk.kind),
                              range_of(keys_of(own_positions[1]), chunk.kind)};
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
          for (int k = 0; k < 4; ++k) {
            const int key = chunk.first + (part * kKeyTiles + n) * 8 + lane % 4 * 2 + k % 2;
            if (key < rows[k / 2].x || key >= rows[k / 2].y) score[n][k] = -INFINITY;
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
        sync_warps<2>(warp % kGroups + 1);
#pragma unroll
        for (int h = 0; h < 2; ++h) newest[h] = fmaxf(newest[h], exchanged[1 - part][row + 8 * h]);
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
            const uint32_t place = weights + row * Shape::kWeightPitch +
                                   piece_offset(row, part * kKeyTiles + n) + lane % 4 * 4;
            asm volatile("st.shared.b32 [%0], %1;" ::"r"(place),
                         "r"(pack_half2(score[n][2 * h], score[n][2 * h + 1]))
                         : "memory");
          }
        }
        sync_warps<2>(warp % kGroups + 1);
      }
#pragma unroll
      for (int s = 0; s < kKeys / 16; ++s) {
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
              b, values + value_row + s * (16 * kStride) + n / 8 * 128 + row_step[n % 8 / 2]);
          multiply16<__half>(out[n], a, b[0], b[1]);
          multiply16<__half>(out[n + 1], a, b[2], b[3]);
        }
      }
    }
    wait_copies<0>();
    __syncthreads();  // the next keys have come; values are free
    if (more) bring_values(next);
    chunk = next;
  }

#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int row = group_row + lane / 4 + 8 * h;
    float total = quad_sum(sum[h]);
    if constexpr (kDimWarps > 1) {
      if (lane % 4 == 0) exchanged[part][row] = total;
      sync_warps<2>(warp % kGroups + 1);
      total = exchanged[0][row] + exchanged[1][row];
    }
    if (row >= tile.n) continue;
    const int64_t vector = tile.vector(args, heads, kv_head, row);
    float* place = args.out + vector * kDim;
    float divisor = total;
    if (p.parts.n > 0) {
      const int64_t at = vector * n_parts + z;
      place = p.parts.values + at * kDim;
      divisor = 1;
      // Without keys it is a part all the same (is_no_part()).
      if (part == 0 && lane % 4 == 0) {
        p.parts.stats[at] = make_float2(total == 0 ? -FLT_MAX : top[h] * kLn2, total);
      }
    }
#pragma unroll
    for (int n = 0; n < kDimTiles; ++n) {
      const int d = (part * kDimTiles + n) * 8 + lane % 4 * 2;
      *reinterpret_cast<float2*>(place + d) =
          make_float2(__fdiv_rn(out[n][2 * h], divisor), __fdiv_rn(out[n][2 * h + 1], divisor));
    }
  }
}

}  // namespace tq::cuda
