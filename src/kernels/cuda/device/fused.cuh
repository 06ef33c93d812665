// The fused low-bit product: codes of tile_layout.h stream through shared memory into registers,
// become int8 there and meet int8 activations in mma.m16n8k32. After every group the int32 tile,
// exact, is scaled by weight gain and activation scale into fp32.
//
// A block of 8 warps takes 8 / n_slices row tiles (pairs of them for a gated product: a tile of
// gate and one of up). A row's inputs are cut into segments, whose sums are added in ascending
// order: where there are few tiles each of n_slices warps takes a segment and they meet in shared
// memory; where there are many a warp takes them all, one after the other. The number of segments
// depends on the weights alone, and tokens are columns of the mma: an output's bits do not depend
// on the batch.
//
// Copies of weights run ahead of the arithmetic by kStages - 1 stages of kStageIn inputs, and in
// products whose matrix the host knows they begin before the kernel before has ended. Up to 8
// tokens lie in shared memory as a whole, where a block may prepare them itself, and a warp never
// waits for another; more are copied stage by stage, by the warps of a slice together.
#pragma once

#include "kernels/cuda/device/activate.cuh"
#include "kernels/cuda/device/attention_parts.cuh"
#include "kernels/cuda/device/common.cuh"
#include "kernels/cuda/device/quantise.cuh"
#include "kernels/cuda/device/tile_product.cuh"
#include "kernels/cuda/device/work.cuh"

namespace tq::cuda {

constexpr int kFusedWarps = 8;

// One of several weights that share an activation.
struct FusedPart {
  const uint8_t* codes;  // of WorkKind::kDense with several parts
  int first_tile;        // among the tiles of all parts
  int64_t rows;
  const float* bias;
  float* out;
  int64_t out_stride;
};

struct FusedParams {
  WorkParams work;
  const uint8_t* const* up_table;  // gated: work.table is gate's
  FusedPart part[4];
  int n_parts;
  int n_tiles;   // of all parts
  int n_slices;  // 1, or n_segments
  int n_segments;
  int64_t in_padded;
  const int8_t* q8;
  const float* q8_scale;
  bool accumulate;
  Activate activate;
  Centroids8 centroids;
  // Of activations that the product prepares: rows of `in` elements, or null.
  const float* source;
  int64_t source_stride;
  AttentionParts parts;  // n > 0: what the rows are merged from instead
  int in;
  RotationMasks masks;
  int resident_rows;  // that a block's tokens may be, of those that lie in shared memory
};

// A resident row is 64 bytes more than whole stages: two rows' 64 bytes are in different banks.
__host__ __device__ constexpr int64_t resident_row_bytes(int64_t in_padded) {
  return (in_padded + kStageIn - 1) / kStageIn * kStageIn + 64;
}
// Rows of so many tokens, each `terms` times, then scales [group][token] of all that may be.
__host__ __device__ constexpr int64_t resident_bytes(int group, int64_t tokens, int terms,
                                                     int64_t in_padded) {
  return tokens * terms * resident_row_bytes(in_padded) +
         8 * kResidentTiles * (in_padded / group * 4);
}
// One stage of streamed activations: values, then scales [group][token].
__host__ __device__ constexpr int x_stage_bytes(int group, int token_tiles) {
  return 8 * token_tiles * (kStageIn + kStageIn / group * 4);
}

// A named barrier of the warps of a slice.
__device__ __forceinline__ void sync_slice(int slice, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(slice + 1), "r"(threads) : "memory");
}

// A warp's stream of weights: kTiles tiles, through a ring in shared memory.
template <int kKind, int kGroup, int kTiles, int kStages>
struct WeightStream {
  static constexpr int kStage = stage_bytes<kKind, kGroup>();

  const uint8_t* codes[kTiles];  // this lane's first 16 bytes of the slice
  uint32_t ring;                 // likewise in shared memory: [kStages][kTiles][kStage]
  int left;                      // bytes of the tile from the lane's next ones on
  int count;                     // stages of the slice
  int copied = 0;

  // Copies the next stage to place `slot` of the ring.
  __device__ __forceinline__ void copy_next(int slot, int lane) {
    if (copied < count) {
#pragma unroll
      for (int m = 0; m < kTiles; ++m) {
#pragma unroll
        for (int at = 0; at < kStage; at += kWarp * 16) {
          if (lane * 16 < kStage - at && at < left) {
            copy_async16(ring + (slot * kTiles + m) * kStage + at, codes[m] + at);
          }
        }
        codes[m] += kStage;
      }
      left -= kStage;
    }
    ++copied;
    commit_copies();
  }
};

// The part of a product that tile `tile` of all parts belongs to.
__device__ __forceinline__ int part_of(const FusedParams& p, int tile) {
  int part = 0;
#pragma unroll
  for (int k = 1; k < 4; ++k) {
    if (k < p.n_parts && tile >= p.part[k].first_tile) part = k;
  }
  return part;
}

// Prepares the block's rows of activations in shared memory: values of row t from x + t *
// row_bytes, scales as [group][kMaxTokens]. A warp takes a group at a time.
template <int kGroup, int kMaxTokens>
__device__ __forceinline__ void prepare_rows(const FusedParams& p, const Work& work, uint8_t* x,
                                             int row_bytes, float* scales) {
  using Values = RotatedGroup<kGroup>;
  constexpr int kPerLane = Values::kPerLane;
  const int lane = threadIdx.x % kWarp;
  const int n_groups = static_cast<int>(p.in_padded) / kGroup;
  for (int i = threadIdx.x / kWarp; i < work.tokens * n_groups; i += kFusedWarps) {
    const int t = i / n_groups;
    const int first = (i - t * n_groups) * kGroup + lane * kPerLane;
    const int64_t row = row_at(work.x, t);
    Values values;
#pragma unroll
    for (int k = 0; k < kPerLane; ++k) values.x[k] = 0;
    if (p.parts.n > 0) {
      if (first < p.in) merge_parts(p.parts, row * p.in + first, values.x);
    } else {
      const float* from = p.source + row * p.source_stride + first;
#pragma unroll
      for (int k = 0; k < kPerLane; ++k) {
        if (first + k < p.in) values.x[k] = from[k];
      }
    }
    values.rotate(p.masks.d1, p.masks.d2, p.masks.scale, lane);
    int8_t q8[kPerLane];
    const float scale = quantise(values, q8);
    store_q8(q8, reinterpret_cast<int8_t*>(x + t * row_bytes + first));
    if (lane == 0) scales[(i - t * n_groups) * kMaxTokens + t] = scale;
  }
}

// Beside rows of activations in shared memory what moving those of each group, a ring, by one place
// makes of them, and by two. `pieces` of 16 a row; a row's are `term_bytes` behind it. By the
// block.
template <int kGroup, int kTerms>
__device__ __forceinline__ void store_terms(uint8_t* rows, int n_rows, int row_bytes, int pieces,
                                            int term_bytes) {
  int row = 0;
  for (int i = static_cast<int>(threadIdx.x);; i += kFusedWarps * kWarp) {
    for (; i >= pieces; i -= pieces) ++row;
    if (row >= n_rows) return;
    uint8_t* const from = rows + row * row_bytes;
    const int behind = (i + 1) * 16 % kGroup == 0 ? (i + 1) * 16 - kGroup : (i + 1) * 16;
    const uint4 x = *reinterpret_cast<const uint4*>(from + i * 16);
    const uint32_t next = *reinterpret_cast<const uint32_t*>(from + behind);
#pragma unroll
    for (int term = 1; term < kTerms; ++term) {
      *reinterpret_cast<uint4*>(from + term * term_bytes + i * 16) = moved_down(x, next, term);
    }
  }
}

// Block (row tiles, item). A warp takes kTiles tiles: gate's and up's, or neighbours. kPrepares:
// the block prepares its activations itself.
template <int kKind, int kGroup, int kTokenTiles, int kTiles, bool kGated, bool kPrepares,
          int kStages>
__global__ void __launch_bounds__(kFusedWarps* kWarp)
    fused_kernel(const __grid_constant__ FusedParams p) {
  static_assert(kGroup == 64 || kGroup == 128);
  static_assert(!kGated || kTiles == 2);
  static_assert(!kPrepares || kTokenTiles <= kResidentTiles);
  constexpr bool kResident = kTokenTiles <= kResidentTiles;
  constexpr int kMaxTokens = 8 * kTokenTiles;
  constexpr int kStageGroups = kStageIn / kGroup;
  constexpr int kWarpTiles = kGated ? 1 : kTiles;  // row tiles of a warp
  using Weights = WeightStream<kKind, kGroup, kTiles, kStages>;
  extern __shared__ __align__(128) uint8_t shared[];
  __shared__ int x_rows[kMaxTokens];

  const int warp = threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  const int slice = warp % p.n_slices;
  const int teams = kFusedWarps / p.n_slices;  // warps of a slice
  const int team = warp / p.n_slices;
  const int first_tile = static_cast<int>(blockIdx.x) * teams * kWarpTiles;
  const int tile = first_tile + team * kWarpTiles;
  allow_next();

  const int in = static_cast<int>(p.in_padded);
  const int n_stages = (in + kStageIn - 1) / kStageIn;
  const int begin = n_stages * slice / p.n_slices;
  const int slice_stages = n_stages * (slice + 1) / p.n_slices - begin;
  const int tile_size = static_cast<int>(tile_bytes(kKind, kGroup, p.in_padded));
  uint8_t* const weight_data = shared + warp * (kStages * kTiles * Weights::kStage);
  uint8_t* const x_data = shared + kFusedWarps * (kStages * kTiles * Weights::kStage);
  Weights weights;
  weights.ring = shared_address(weight_data) + lane * 16;
  weights.left = tile_size - begin * Weights::kStage - lane * 16;
  weights.count = tile < p.n_tiles ? slice_stages : 0;
  const auto start_weights = [&](int matrix) {
    const int64_t offset = int64_t{begin} * Weights::kStage + lane * 16;
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
      if constexpr (kGated) {
        weights.codes[m] =
            (m == 0 ? p.work.table : p.up_table)[matrix] + int64_t{tile} * tile_size + offset;
      } else {
        const int at = min(tile + m, p.n_tiles - 1);
        const int part = p.n_parts > 1 ? part_of(p, at) : 0;
        const uint8_t* codes = p.n_parts > 0 ? p.part[part].codes : p.work.table[matrix];
        weights.codes[m] = codes + int64_t{at - p.part[part].first_tile} * tile_size + offset;
      }
    }
#pragma unroll
    for (int i = 0; i < kStages - 1; ++i) weights.copy_next(i, lane);
  };

  // Which weights a product of one matrix reads does not depend on what runs before us.
  const bool early = p.work.kind != WorkKind::kExperts && p.work.n == 1;
  if (!early && threadIdx.x * 16 < p.work.n) {
    prefetch(p.work.table + threadIdx.x * 16);
    if constexpr (kGated) prefetch(p.up_table + threadIdx.x * 16);
  }
  if (early) start_weights(0);
  wait_for_previous();
  const Work work = find_work(p.work, static_cast<int>(blockIdx.y), kMaxTokens);
  if (work.tokens == 0) {
    wait_copies<0>();
    return;
  }
  if (!early) start_weights(work.matrix);
  const int n_token_tiles = (work.tokens + 7) / 8;

  using Product = TileProduct<kKind, kGroup, kTokenTiles, kTiles>;
  const typename Product::Tables tables = Product::tables_of(p.centroids);
  Product product;
  product.clear();
  // Of the segments before the current one, when this warp takes them all.
  float before[kTiles][kTokenTiles][4] = {};
  const int last_segment = p.n_slices > 1 ? 0 : p.n_segments - 1;
  int segment = 0;
  int segment_end = last_segment > 0 ? n_stages / p.n_segments : n_stages;
  const auto end_stage = [&](int next) {
    if (segment == last_segment || next != segment_end) return;
    ++segment;
    segment_end = n_stages * (segment + 1) / p.n_segments;
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
#pragma unroll
      for (int n = 0; n < kTokenTiles; ++n) {
#pragma unroll
        for (int k = 0; k < 4; ++k) before[m][n][k] += product.out[m][n][k];
      }
    }
    product.clear();
  };
  // One stage from place `slot`; fragments and scales come from b(n, chunk), scale(n, group).
  const auto multiply_stage = [&](int slot, int stage, auto b, auto scale) {
    const uint8_t* unit = weight_data + slot * (kTiles * Weights::kStage);
    if constexpr (kGroup == 128) {
      product.template multiply_group<2>(unit, tables, lane, n_token_tiles, b,
                                         [&](int n) { return scale(n, 0); });
    } else {
      product.template multiply_group<1>(unit, tables, lane, n_token_tiles, b,
                                         [&](int n) { return scale(n, 0); });
      if (stage * kStageIn + kChunkIn >= in) return;  // the last stage of a row may be half
      product.template multiply_group<1>(
          unit + unit_bytes(kKind, kGroup), tables, lane, n_token_tiles,
          [&](int n, int, int term) { return b(n, 1, term); }, [&](int n) { return scale(n, 1); });
    }
  };

  if constexpr (kResident) {
    const auto row_bytes = static_cast<int>(resident_row_bytes(in));
    const int n_groups = in / kGroup;
    const int term_bytes = p.resident_rows * row_bytes;  // from rows to the same moved by one
    auto* scales =                                       // [group][token]
        reinterpret_cast<float*>(x_data + Product::kStoredTerms * term_bytes);
    const int pieces = in / 16;
    if constexpr (kPrepares) {
      prepare_rows<kGroup, kMaxTokens>(p, work, x_data, row_bytes, scales);
    } else {
      for (int t = 0; t < work.tokens; ++t) {
        const int64_t row = row_at(work.x, t);
        const int8_t* from = p.q8 + row * in;
        const uint32_t to = shared_address(x_data) + t * row_bytes;
        for (int i = threadIdx.x; i < pieces; i += kFusedWarps * kWarp) {
          copy_async16(to + i * 16, from + i * 16);
        }
        const float* scale_from = p.q8_scale + row * n_groups;
        for (int g = threadIdx.x; g < n_groups; g += kFusedWarps * kWarp) {
          copy_async4(shared_address(scales + g * kMaxTokens + t), scale_from + g);
        }
      }
    }
    commit_copies();
    wait_copies<0>();
    __syncthreads();
    if constexpr (Product::kStoredTerms > 1) {
      store_terms<kGroup, Product::kStoredTerms>(x_data, work.tokens, row_bytes, pieces,
                                                 term_bytes);
      __syncthreads();
    }
    // Lanes of tokens that are not there read the last one's; their results are not stored.
    const uint8_t* x[kTokenTiles];
#pragma unroll
    for (int n = 0; n < kTokenTiles; ++n) {
      x[n] = x_data + min(n * 8 + lane / 4, work.tokens - 1) * row_bytes + begin * kStageIn +
             lane % 4 * 16;
    }
    const float* x_scale = scales + begin * kStageGroups * kMaxTokens + lane % 4 * 2;
    for (int i = 0; i < weights.count;) {
#pragma unroll
      for (int slot = 0; slot < kStages; ++slot) {
        if (i >= weights.count) break;
        wait_copies<kStages - 2>();
        __syncwarp();
        weights.copy_next((slot + kStages - 1) % kStages, lane);
        multiply_stage(
            slot, begin + i,
            [&](int n, int c, int term) {
              return *reinterpret_cast<const uint4*>(x[n] + term * term_bytes + c * kChunkIn);
            },
            [&](int n, int g) {
              return *reinterpret_cast<const float2*>(x_scale + g * kMaxTokens + n * 8);
            });
#pragma unroll
        for (int n = 0; n < kTokenTiles; ++n) x[n] += kStageIn;
        x_scale += kStageGroups * kMaxTokens;
        ++i;
        end_stage(i);
      }
    }
  } else {
    for (int t = threadIdx.x; t < work.tokens; t += kFusedWarps * kWarp) {
      x_rows[t] = static_cast<int>(row_at(work.x, t));
    }
    __syncthreads();
    constexpr int kXStage = x_stage_bytes(kGroup, kTokenTiles);
    uint8_t* const x_ring = x_data + slice * kStages * kXStage;
    const int sharing = teams * kWarp;
    const int thread = team * kWarp + lane;
    const int piece = thread % 8;
    const uint32_t x_to =
        shared_address(x_ring) + thread / 8 * kStageIn + (piece ^ (thread / 8 % 2 * 4)) * 16;
    // The slice's i-th stage.
    const auto copy_x = [&](int i) {
      if (i >= slice_stages) return;
      const int first = (begin + i) * kStageIn;
      const uint32_t to = x_to + i % kStages * kXStage;
      if (first + piece * 16 < in) {
        for (int t = thread / 8, k = 0; t < work.tokens; t += sharing / 8, ++k) {
          copy_async16(to + k * (sharing / 8 * kStageIn),
                       p.q8 + int64_t{x_rows[t]} * in + first + piece * 16);
        }
      }
      const uint32_t scales =
          shared_address(x_ring) + i % kStages * kXStage + kMaxTokens * kStageIn;
#pragma unroll
      for (int g = 0; g < kStageGroups; ++g) {
        if (first + g * kGroup >= in) break;
        for (int t = thread; t < work.tokens; t += sharing) {
          copy_async4(scales + (g * kMaxTokens + t) * 4,
                      p.q8_scale + int64_t{x_rows[t]} * (in / kGroup) + first / kGroup + g);
        }
      }
    };
    // The weights' copies were committed as groups of their own; these come after them all.
    for (int i = 0; i < kStages - 1; ++i) {
      copy_x(i);
      commit_copies();
    }
    const int fragment = lane / 4 * kStageIn;
    const int swizzle = lane / 4 % 2 * 4;
    for (int i = 0; i < slice_stages; ++i) {
      wait_copies<kStages - 2>();
      sync_slice(slice, sharing);
      copy_x(i + kStages - 1);
      weights.copy_next((i + kStages - 1) % kStages, lane);
      if (weights.count == 0) continue;
      const uint8_t* x = x_ring + i % kStages * kXStage;
      multiply_stage(
          i % kStages, begin + i,
          [&](int n, int c, int /*term*/) {
            return *reinterpret_cast<const uint4*>(x + n * (8 * kStageIn) + fragment +
                                                   ((c * 4 + lane % 4) ^ swizzle) * 16);
          },
          [&](int n, int g) {
            return *reinterpret_cast<const float2*>(x + kMaxTokens * kStageIn +
                                                    (g * kMaxTokens + n * 8 + lane % 4 * 2) * 4);
          });
      end_stage(i + 1);
    }
    // As many barriers in every slice as in the longest: with unequal numbers racecheck reports
    // hazards across the __syncthreads() below.
    if (slice_stages * p.n_slices < n_stages) sync_slice(slice, sharing);
  }
  wait_copies<0>();
  __syncthreads();

  // Sums of the slices, in shared memory: [warp][tile][token tile][4][lane].
  constexpr int kLaneSums = kTiles * kTokenTiles * 4;
  auto* sums = reinterpret_cast<float*>(shared);
#pragma unroll
  for (int m = 0; m < kTiles; ++m) {
#pragma unroll
    for (int n = 0; n < kTokenTiles; ++n) {
      if (n >= n_token_tiles) break;
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        sums[(warp * kLaneSums + (m * kTokenTiles + n) * 4 + k) * kWarp + lane] =
            before[m][n][k] + product.out[m][n][k];
      }
    }
  }
  __syncthreads();
  // A thread takes a row, and every step-th token. All are powers of two: no divisions.
  const int block_rows = teams * kWarpTiles * kTileRows;
  const int step = p.n_slices * 2 / kWarpTiles;  // of as many threads as there are
  static_assert(kFusedWarps * kWarp == 256 && kTileRows == 16);
  const int local = static_cast<int>(threadIdx.x) & (block_rows - 1);
  const int local_tile = local / kTileRows;
  const int at_tile = first_tile + local_tile;
  if (at_tile >= p.n_tiles) return;
  const FusedPart& part = p.part[p.n_parts > 1 ? part_of(p, at_tile) : 0];
  const int64_t row = int64_t{at_tile - part.first_tile} * kTileRows + local % kTileRows;
  if (row >= part.rows) return;
  const float* const row_sums = sums + local_tile / kWarpTiles * p.n_slices * kLaneSums * kWarp +
                                local % 8 * 4 + local % kTileRows / 8 * (2 * kWarp);
  const auto total = [&](int m, int token) {
    const float* from =
        row_sums + (m * kTokenTiles + token / 8) * (4 * kWarp) + token % 2 * kWarp + token % 8 / 2;
    float sum = 0;
    for (int s = 0; s < p.n_slices; ++s) sum += from[s * kLaneSums * kWarp];
    return sum * p.centroids.unit;
  };
  const float bias = !kGated && part.bias != nullptr ? part.bias[row] : 0.0f;
  for (int token = static_cast<int>(threadIdx.x) * step / 256; token < work.tokens; token += step) {
    float value = total(local_tile % kWarpTiles, token);
    float* out = part.out + row_at(work.out, token) * part.out_stride + row;
    if constexpr (kGated) {
      value = activate(p.activate, value) * total(1, token);
    } else {
      value += bias;
      if (p.accumulate) value += *out;
    }
    *out = value;
  }
}

}  // namespace tq::cuda
