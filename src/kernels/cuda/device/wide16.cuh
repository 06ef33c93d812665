// The product of codes with f16 activations for many tokens on Hopper's warpgroup instructions: a
// warp decodes two tiles of 16 rows into registers, which are the A operands of
// wgmma.m64nNk16 with fp32 sums; activations are B, in shared memory with its 128-byte swizzle.
// A block of two warpgroups makes 256 rows, or 128 of gate and of up with their activation, times
// up to 128 tokens.
//
// A lane has 16 neighbouring inputs of its rows (tile_layout.h), and the instruction wants pairs of
// every 16: instead of moving codes between lanes the activations come in the order of the codes
// (fragment_slot).
#pragma once

#include "kernels/cuda/device/activate.cuh"
#include "kernels/cuda/device/product16.cuh"
#include "kernels/cuda/device/wgmma.cuh"

namespace tq::cuda {

constexpr int kWide16Tokens = 128;
constexpr int kWide16Warps = 8;
constexpr int kWide16Tiles = 2;  // of a warp

struct Wide16Params {
  Product16Params product;         // x in the order of fragment_slot
  const uint8_t* const* up_table;  // gated: product.work.table is gate's
  Activate activate;
};

// Where input `in` of a chunk of 64 stands among the activations of a chunk.
TQ_HOST_DEVICE constexpr int fragment_slot(int in) {
  return in % 16 / 4 * 16 + in % 4 / 2 * 8 + in / 16 * 2 + in % 2;
}

// Stages are chunks of 64 inputs: activations, and of every tile the codes and their gains.
template <int kBits>
struct Wide16Shared {
  static constexpr int kXStage = kWide16Tokens * kChunkIn * 2;
  static constexpr int kCodes = chunk_bytes(kBits) + kTileRows * 2;
  static constexpr int kStage = kXStage + kWide16Warps * kWide16Tiles * kCodes;
  static constexpr int kAlign = 1024;  // of the swizzle's pattern
  static constexpr int kMost = 220 * 1024 - kAlign;
  static constexpr int kStages = kMost / kStage < 8 ? kMost / kStage : 8;
  static constexpr int kAhead = kStages - 3;  // that are copied before they are used
  static_assert(kAhead >= 2);
  static constexpr int kBytes = kAlign + kStages * kStage;
};

// A lane's A operands of the four products of a chunk, from a tile's codes in shared memory.
template <int kBits>
__device__ __forceinline__ void decode_chunk(const uint8_t* codes, const Centroids8& centroids,
                                             int lane, uint32_t (&a)[4][4]) {
  uint32_t words[kBits], bytes[8];
#pragma unroll
  for (int w = 0; w < kBits; ++w) {
    words[w] = reinterpret_cast<const uint32_t*>(codes)[w * kWarp + lane];
  }
  decode_words<kBits>(words, centroids, bytes);
  const auto* gains = reinterpret_cast<const __half*>(codes + chunk_bytes(kBits)) + lane / 4;
#pragma unroll
  for (int h = 0; h < 2; ++h) {  // rows lane / 4 and 8 more
    const __half2 gain = __half2half2(gains[8 * h]);
#pragma unroll
    for (int s = 0; s < 4; ++s) {
      uint32_t pairs[2];
      scale_codes(bytes[2 * s + h], gain, pairs);
      a[s][h] = pairs[0];
      a[s][2 + h] = pairs[1];
    }
  }
}

// The warp's part of a block's stream of weights.
template <int kBits, int kGroup>
struct Wide16Codes {
  using Shared = Wide16Shared<kBits>;
  static constexpr int kChunks = unit_in(kGroup) / kChunkIn;  // of a unit
  static constexpr int kRounds = (Shared::kCodes + kWarp * 16 - 1) / (kWarp * 16);

  const uint8_t* tile[kWide16Tiles];  // null: none
  uint32_t ring;                      // a shared address: [stage][tile of the warp][kCodes]

  __device__ __forceinline__ void copy(int stage, bool there, int slot, int lane) const {
#pragma unroll
    for (int m = 0; m < kWide16Tiles; ++m) {
      const uint8_t* unit = tile[m] + int64_t{stage / kChunks} * unit_bytes(kBits, kGroup);
      const uint32_t to = ring + (slot * kWide16Tiles + m) * Shared::kCodes;
#pragma unroll
      for (int r = 0; r < kRounds; ++r) {
        const int at = r * (kWarp * 16) + lane * 16;
        const int from = at < chunk_bytes(kBits)
                             ? stage % kChunks * chunk_bytes(kBits) + at
                             : unit_code_bytes(kBits, kGroup) + at - chunk_bytes(kBits);
        copy_async16_if(to + at, unit + from, there && tile[m] != nullptr && at < Shared::kCodes);
      }
    }
  }
};

// Where multiply_wide16() finds what it multiplies.
struct Wide16Item {
  uint32_t x;            // [stage][token], a shared address
  const uint8_t* codes;  // [stage][tile of the warp]
  uint32_t come;         // [stage] of mbarriers, a shared address: every warp's copies are there
  int n_stages;
};

// The warp's rows of one item, up to kN tokens. A lane's sum token / 8 * 4 + k is that of row
// lane / 4 + k / 2 * 8 and of token lane % 4 * 2 + k % 2 of the eight.
//
// The warpgroups take turns: one decodes while the other multiplies. They may be two stages apart,
// so a stage is free when no warp can still be three stages behind.
template <int kBits, int kN, typename CopyStage>
__device__ __forceinline__ void multiply_wide16(float (&sums)[kWide16Tiles][kN / 2],
                                                const Centroids8& centroids, const Wide16Item& item,
                                                const CopyStage& copy_stage) {
  using Shared = Wide16Shared<kBits>;
  const int lane = threadIdx.x % kWarp;
  const int group = threadIdx.x / (4 * kWarp);
  uint32_t a[kWide16Tiles][4][4];
  const auto decode = [&](int slot) {
#pragma unroll
    for (int m = 0; m < kWide16Tiles; ++m) {
      decode_chunk<kBits>(item.codes + (slot * kWide16Tiles + m) * Shared::kCodes, centroids, lane,
                          a[m]);
    }
  };
  const auto next = [](int slot) { return slot == Shared::kStages - 1 ? 0 : slot + 1; };
  // This warp's copies are there up to the stage that lies in `slot`.
  const auto announce = [&](int slot) { arrive(item.come + slot * 8, lane == 0); };

  for (int stage = 0; stage < Shared::kAhead; ++stage) copy_stage(stage, stage);
  wait_copies<Shared::kAhead - 2>();
  __syncwarp();
  announce(0);
  announce(1);
  decode(0);
  if (group == 1) pass_turn(0);
  int slot = 0, copy_slot = Shared::kAhead;
  uint32_t parity = 0;
#pragma unroll 1
  for (int stage = 0; stage < item.n_stages; ++stage) {
    wait_for(item.come + slot * 8, parity);
    wait_for_turn(group);
    begin_wide();
    const uint64_t rows = describe_rows(item.x + slot * Shared::kXStage);
#pragma unroll
    for (int s = 0; s < 4; ++s) {  // 16 inputs are 2 units of 16 bytes in the swizzled row
#pragma unroll
      for (int m = 0; m < kWide16Tiles; ++m) multiply_f16<kN>(sums[m], a[m][s], rows + 2 * s);
    }
    commit_wide();
    pass_turn(1 - group);
    copy_stage(stage + Shared::kAhead, copy_slot);
    wait_copies<Shared::kAhead - 2>();
    __syncwarp();
    announce(next(next(slot)));
    wait_wide<0>(sums[0]);
    wait_wide<0>(sums[1]);
    parity ^= slot == Shared::kStages - 1;
    slot = next(slot);
    copy_slot = next(copy_slot);
    decode(slot);  // after the last stage: of whatever is there, and not used
  }
  if (group == 0) wait_for_turn(0);  // what the other has passed
}

// Block (rows, item).
template <int kBits, int kGroup, bool kGated>
__global__ void __launch_bounds__(kWide16Warps* kWarp, 1)
    wide16_kernel(const __grid_constant__ Wide16Params params) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  using Shared = Wide16Shared<kBits>;
  constexpr int kLineTokens = kWide16Warps * kWarp / 8;  // that the block copies at a time
  constexpr int kOutTiles = kGated ? 1 : kWide16Tiles;
  extern __shared__ __align__(128) uint8_t shared[];
  __shared__ float factors[kWide16Tokens];  // of outputs
  __shared__ float* rows[kWide16Tokens];    // of outputs; null: there is no such token
  __shared__ uint64_t come[Shared::kStages];
  if (threadIdx.x == 0) {
    for (uint64_t& barrier : come) init_barrier(shared_address(&barrier), kWide16Warps);
  }
  start_kernel();
  const Product16Params& p = params.product;
  const Work work = find_work(p.work, static_cast<int>(blockIdx.y), kWide16Tokens);
  if (work.tokens == 0) return;
  const int warp = threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  const int in = static_cast<int>(p.in);
  const int n_stages = in / kChunkIn;
  const uint32_t base = shared_address(shared);
  uint8_t* const x_data = shared + (Shared::kAlign - base % Shared::kAlign) % Shared::kAlign;
  uint8_t* const codes_data =
      x_data + Shared::kStages * (Shared::kXStage + warp * kWide16Tiles * Shared::kCodes);

  // The warp's tiles: of gate and of up, or 64 rows apart.
  int tile[kWide16Tiles];
  Wide16Codes<kBits, kGroup> codes;
  codes.ring = shared_address(codes_data);
#pragma unroll
  for (int m = 0; m < kWide16Tiles; ++m) {
    const int block = static_cast<int>(blockIdx.x);
    tile[m] = kGated ? block * kWide16Warps + warp
                     : (block * 2 + warp / 4) * (4 * kWide16Tiles) + m * 4 + warp % 4;
    const uint8_t* matrix =
        kGated && m == 1 ? params.up_table[work.matrix] : matrix_codes(p.work, work.matrix);
    codes.tile[m] =
        tile[m] < tiles(p.rows) ? matrix + tile[m] * tile_bytes(kBits, kGroup, in) : nullptr;
  }
  // A thread copies 16 bytes of every kLineTokens-th token; of those that are not there, which are
  // multiplied too, it copies the last.
  const int piece = threadIdx.x % 8;
  const int line = threadIdx.x / 8;
  const __half* x_from[kWide16Tokens / kLineTokens];
#pragma unroll
  for (int k = 0; k < kWide16Tokens / kLineTokens; ++k) {
    const int64_t row = row_at(work.x, min(line + k * kLineTokens, work.tokens - 1));
    x_from[k] = static_cast<const __half*>(p.x) + row * p.x_stride + piece * 8;
  }
  const uint32_t x_to = shared_address(x_data) + swizzled(line, piece);
  if (const int t = threadIdx.x; t < kWide16Tokens) {
    const bool there = t < work.tokens;
    factors[t] = there ? p.unit * p.x_scale[row_at(work.x, t)] : 0;
    rows[t] = there ? p.out + row_at(work.out, t) * p.out_stride : nullptr;
  }
  __syncthreads();
  const Wide16Item item{shared_address(x_data), codes_data, shared_address(come), n_stages};

  const auto run = [&](auto size) {
    constexpr int kN = decltype(size)::value;
    const auto copy_stage = [&](int stage, int slot) {
      const bool there = stage < n_stages;
#pragma unroll
      for (int k = 0; k < kN / kLineTokens; ++k) {
        copy_async16_if(x_to + slot * Shared::kXStage + k * (kLineTokens * kProductRowBytes),
                        x_from[k] + stage * kChunkIn, there);
      }
      codes.copy(stage, there, slot, lane);
      commit_copies();
    };
    float sums[kWide16Tiles][kN / 2] = {};
    multiply_wide16<kBits, kN>(sums, p.centroids, item, copy_stage);
    wait_copies<0>();
    // [tile][h]: the lane's rows.
    bool stored[kOutTiles][2];
    float bias[kOutTiles][2] = {};
#pragma unroll
    for (int m = 0; m < kOutTiles; ++m) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int row = tile[m] * kTileRows + lane / 4 + h * 8;
        stored[m][h] = row < p.rows;
        if (!kGated && p.bias != nullptr && stored[m][h]) bias[m][h] = p.bias[row];
      }
    }
#pragma unroll
    for (int n = 0; n < kN / 8; ++n) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int token = n * 8 + lane % 4 * 2 + j;
        float* const out = rows[token];
        if (out == nullptr) continue;
        const float factor = factors[token];
#pragma unroll
        for (int m = 0; m < kOutTiles; ++m) {
#pragma unroll
          for (int h = 0; h < 2; ++h) {
            float value = sums[m][n * 4 + h * 2 + j] * factor;
            if constexpr (kGated) {
              value = activate(params.activate, value) * (sums[1][n * 4 + h * 2 + j] * factor);
            }
            float* const to = out + tile[m] * kTileRows + lane / 4 + h * 8;
            if (stored[m][h]) *to = value + bias[m][h] + (p.accumulate ? *to : 0.0f);
          }
        }
      }
    }
  };
  if (work.tokens > kWide16Tokens / 2) {
    run(std::integral_constant<int, kWide16Tokens>{});
  } else {
    run(std::integral_constant<int, kWide16Tokens / 2>{});
  }
#endif
}

}  // namespace tq::cuda
