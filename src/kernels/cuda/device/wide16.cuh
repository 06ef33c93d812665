// The product of codes with f16 activations for many tokens on Hopper's warpgroup instructions: a
// warp decodes a tile of 16 rows into registers, which are the A operands of wgmma.m64nNk16 with
// fp32 sums; activations are B, in shared memory with its 128-byte swizzle. A block of four
// warpgroups makes 256 rows, or 128 of gate and of up with their activation, times up to 128
// tokens. While some warpgroups multiply, others decode: they may be two stages apart.
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
constexpr int kWide16Warps = 16;

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
template <int kKind>
struct Wide16Shared {
  static constexpr int kXStage = kWide16Tokens * kChunkIn * 2;
  static constexpr int kCodes = chunk_bytes(kKind) + kTileRows * 2;
  static constexpr int kStage = kXStage + kWide16Warps * kCodes;
  static constexpr int kAlign = 1024;  // of the swizzle's pattern
  static constexpr int kMost = 220 * 1024 - kAlign;
  static constexpr int kStages = kMost / kStage < 8 ? kMost / kStage : 8;
  static constexpr int kAhead = kStages - 3;  // that are copied before they are used
  static_assert(kAhead >= 2);
  static constexpr int kBytes = kAlign + kStages * kStage;
};

// A lane's A operands of the four products of a chunk, from a tile's codes in shared memory.
// `other`: the other chunk of a group that has two.
template <int kKind, int kGroup>
__device__ __forceinline__ void decode_chunk(const uint8_t* codes,
                                             [[maybe_unused]] const uint8_t* other,
                                             const CodeTables<kKind>& tables, int lane,
                                             uint32_t (&a)[4][4]) {
  uint32_t bytes[8];
  ChunkCodes<kKind> chunk;
  const auto load_word = [](const uint32_t* from) { return *from; };
  chunk.load(codes, lane, load_word);
  if constexpr (is_window(kKind)) {
    const LanePlace before = place_before(kGroup, 0, lane);
    chunk.load_before(before.chunk == 0 ? codes : other, before.lane, load_word);
  }
  chunk.decode(tables, bytes);
  const auto* gains = reinterpret_cast<const __half*>(codes + chunk_bytes(kKind)) + lane / 4;
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
template <int kKind, int kGroup>
struct Wide16Codes {
  using Shared = Wide16Shared<kKind>;
  static constexpr int kChunks = unit_in(kGroup) / kChunkIn;  // of a unit
  static constexpr int kRounds = (Shared::kCodes + kWarp * 16 - 1) / (kWarp * 16);

  const uint8_t* tile;  // null: none
  uint32_t ring;        // a shared address: [stage][kCodes]

  __device__ __forceinline__ void copy(int stage, bool there, int slot, int lane) const {
    const uint8_t* unit = tile + int64_t{stage / kChunks} * unit_bytes(kKind, kGroup);
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      const int at = r * (kWarp * 16) + lane * 16;
      const int from = at < chunk_bytes(kKind)
                           ? stage % kChunks * chunk_bytes(kKind) + at
                           : unit_code_bytes(kKind, kGroup) + at - chunk_bytes(kKind);
      copy_async16_if(ring + slot * Shared::kCodes + at, unit + from,
                      there && tile != nullptr && at < Shared::kCodes);
    }
  }
};

// Where multiply_wide16() finds what it multiplies.
struct Wide16Item {
  uint32_t x;            // [stage][token], a shared address
  const uint8_t* codes;  // [stage], the warp's
  uint32_t come;         // [stage] of mbarriers, a shared address: every warp's copies are there
  int n_stages;
};

// The warp's rows of one item, up to kN tokens. A lane's sum token / 8 * 4 + k is that of row
// lane / 4 + k / 2 * 8 and of token lane % 4 * 2 + k % 2 of the eight.
template <int kKind, int kGroup, int kN, typename CopyStage>
__device__ __forceinline__ void multiply_wide16(float (&sums)[kN / 2], const Centroids8& centroids,
                                                const Wide16Item& item,
                                                const CopyStage& copy_stage) {
  using Shared = Wide16Shared<kKind>;
  const int lane = threadIdx.x % kWarp;
  const CodeTables<kKind> tables = code_tables<kKind>(centroids);
  uint32_t a[4][4];
  const auto next = [](int slot) { return slot == Shared::kStages - 1 ? 0 : slot + 1; };
  const auto decode = [&](int stage, int slot) {
    // Of windows, a group's other chunk: the stages beside one are there whenever it is decoded.
    const int other = stage % 2 == 0 ? next(slot) : slot == 0 ? Shared::kStages - 1 : slot - 1;
    decode_chunk<kKind, kGroup>(item.codes + slot * Shared::kCodes,
                                item.codes + other * Shared::kCodes, tables, lane, a);
  };
  // This warp's copies are there up to the stage that lies in `slot`.
  const auto announce = [&](int slot) { arrive(item.come + slot * 8, lane == 0); };

  for (int stage = 0; stage < Shared::kAhead; ++stage) copy_stage(stage, stage);
  wait_copies<Shared::kAhead - 2>();
  __syncwarp();
  announce(0);
  announce(1);
  decode(0, 0);
  int slot = 0, copy_slot = Shared::kAhead;
  uint32_t parity = 0;
#pragma unroll 1
  for (int stage = 0; stage < item.n_stages; ++stage) {
    wait_for(item.come + slot * 8, parity);
    begin_wide();
    const uint64_t rows = describe_rows(item.x + slot * Shared::kXStage);
#pragma unroll
    for (int s = 0; s < 4; ++s) {  // 16 inputs are 2 units of 16 bytes in the swizzled row
      multiply_f16<kN>(sums, a[s], rows + 2 * s);
    }
    commit_wide();
    // No warp is three stages behind: none reads the stage whose place this one takes.
    copy_stage(stage + Shared::kAhead, copy_slot);
    wait_copies<Shared::kAhead - 2>();
    __syncwarp();
    announce(next(next(slot)));
    wait_wide<0>(sums);
    parity ^= slot == Shared::kStages - 1;
    slot = next(slot);
    copy_slot = next(copy_slot);
    decode(stage + 1, slot);  // after the last stage: of whatever is there, and not used
  }
}

// Block (rows, item).
template <int kKind, int kGroup, bool kGated>
__global__ void __launch_bounds__(kWide16Warps* kWarp, 1)
    wide16_kernel(const __grid_constant__ Wide16Params params) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  using Shared = Wide16Shared<kKind>;
  constexpr int kLineTokens = kWide16Warps * kWarp / 8;  // that the block copies at a time
  constexpr int kOutWarps = kGated ? kWide16Warps / 2 : kWide16Warps;  // the rest: of up
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
  uint8_t* const codes_data = x_data + Shared::kStages * (Shared::kXStage + warp * Shared::kCodes);

  const bool is_up = warp >= kOutWarps;
  const int tile = static_cast<int>(blockIdx.x) * kOutWarps + warp % kOutWarps;
  const uint8_t* matrix = is_up ? params.up_table[work.matrix] : matrix_codes(p.work, work.matrix);
  const Wide16Codes<kKind, kGroup> codes{
      tile < tiles(p.rows) ? matrix + tile * tile_bytes(kKind, kGroup, in) : nullptr,
      shared_address(codes_data)};
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
    float sums[kN / 2] = {};
    multiply_wide16<kKind, kGroup, kN>(sums, p.centroids, item, copy_stage);
    wait_copies<0>();
    // Up's sums go to the warps that have gate's, by the memory of the stages.
    [[maybe_unused]] auto* const exchanged =
        reinterpret_cast<float*>(x_data) + warp % kOutWarps * (kN / 2 * kWarp) + lane;
    if constexpr (kGated) {
      static_assert(kOutWarps * kN / 2 * kWarp * 4 <= Shared::kBytes - Shared::kAlign);
      __syncthreads();
      if (is_up) {
#pragma unroll
        for (int k = 0; k < kN / 2; ++k) exchanged[k * kWarp] = sums[k];
      }
      __syncthreads();
      if (is_up) return;
    }
    const int first = tile * kTileRows + lane / 4;  // the lane's rows: this, and 8 more
    float bias[2] = {};
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      if (!kGated && p.bias != nullptr && first + h * 8 < p.rows) bias[h] = p.bias[first + h * 8];
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
        for (int h = 0; h < 2; ++h) {
          const int at = n * 4 + h * 2 + j;
          float value = sums[at] * factor;
          if constexpr (kGated) {
            value = activate(params.activate, value) * (exchanged[at * kWarp] * factor);
          }
          float* const to = out + first + h * 8;
          if (first + h * 8 < p.rows) *to = value + bias[h] + (p.accumulate ? *to : 0.0f);
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
