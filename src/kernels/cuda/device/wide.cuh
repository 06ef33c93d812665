// The fused product of many tokens on Hopper's warpgroup instructions: what device/fused.cuh does,
// to the bit, in blocks of 128 rows and up to 128 tokens. A warp decodes a row tile into registers,
// which are the A operand of wgmma.m64nNk32; activations are B, in shared memory with its 128-byte
// swizzle. The int32 sums of a group, exact, are scaled into fp32 as the small kernel does it, and
// the sums of a row's segments are added in the same order.
//
// While a half of the tokens is multiplied the warp scales the sums of the other, and brings the
// codes of the next group into the order of the operand.
#pragma once

#include "kernels/cuda/device/fused.cuh"
#include "kernels/cuda/device/wgmma.cuh"

namespace tq::cuda {

constexpr int kWideTokens = 128;
constexpr int kGroupWarps = 4;  // of a warpgroup
// Row tiles of a block: a warp takes one, of gate or of up if it is gated.
template <bool kGated>
constexpr int kWideTiles = kGated ? kGroupWarps : kFusedWarps;

template <int kKind, int kGroup>
struct WideShared {
  static constexpr int kStages = bits_of(kKind) < 8 ? 5 : 4;  // as many as fit
  static constexpr int kAhead = kStages - 1;  // that are copied before they are used
  static constexpr int kXStage = kWideTokens * kStageIn;
  static constexpr int kScales = kStageIn / kGroup * kWideTokens * 4;  // bytes of a stage
  static constexpr int kWeights = stage_bytes<kKind, kGroup>();
  static constexpr int kAlign = 1024;  // of the swizzle's pattern
  // Sums of what was multiplied before: [warp][kWideTokens / 2][lane].
  static constexpr int kSums = kFusedWarps * kWideTokens / 2 * kWarp * 4;
  static constexpr int kBytes =
      kAlign + kStages * (kXStage + kScales + kFusedWarps * kWeights) + kSums;
};

// Register j of lane q in a quad goes to register q of lane j.
__device__ __forceinline__ void transpose_quad(uint32_t (&x)[4], int lane) {
  const bool high = (lane & 2) != 0, odd = (lane & 1) != 0;
  const uint32_t a = __shfl_xor_sync(kAllLanes, high ? x[0] : x[2], 2);
  const uint32_t b = __shfl_xor_sync(kAllLanes, high ? x[1] : x[3], 2);
  const uint32_t y[4] = {high ? a : x[0], high ? b : x[1], high ? x[2] : a, high ? x[3] : b};
  const uint32_t c = __shfl_xor_sync(kAllLanes, odd ? y[0] : y[1], 1);
  const uint32_t d = __shfl_xor_sync(kAllLanes, odd ? y[2] : y[3], 1);
  x[0] = odd ? c : y[0], x[1] = odd ? y[1] : c;
  x[2] = odd ? d : y[2], x[3] = odd ? y[3] : d;
}

// A lane's codes of a chunk of 64 inputs on their way to two A operands. It has 16 neighbouring
// inputs of its rows and needs the fours 4 * (lane % 4) of every 16.
template <int kKind>
struct WideCodes {
  // Of 3 and 4 bits a word selects four inputs of both rows: words change places, not values.
  static constexpr bool kSelectors = kKind == 3 || kKind == 4;
  uint32_t words[kKind == 3 ? 4 : bits_of(kKind)];
  uint32_t before;  // of windows: the selectors of the codes before

  __device__ __forceinline__ void load(const uint8_t* chunk, int lane) {
#pragma unroll
    for (int w = 0; w < bits_of(kKind); ++w) {
      words[w] = reinterpret_cast<const uint32_t*>(chunk)[w * 32 + lane];
    }
    if constexpr (kKind == 3) words[3] = fourth_word(words);
    if constexpr (kSelectors) transpose_quad(words, lane);
  }
  __device__ __forceinline__ void decode(const CodeTables<kKind>& tables, int lane,
                                         uint32_t (&a)[2][4]) const {
    uint32_t fragments[8];
    if constexpr (kKind == 3) {
#pragma unroll
      for (int r = 0; r < 8; ++r) {
        fragments[r] =
            permute(tables.words[0], tables.words[1], (words[r / 2] & 0x77777777u) >> (r % 2 * 16));
      }
    } else if constexpr (is_window(kKind)) {
      decode_windows<kKind>(words, before, tables, fragments);
    } else {
      decode_words<kKind>(words, tables, fragments);
    }
#pragma unroll
    for (int h = 0; h < 2; ++h) {  // rows lane / 4 and 8 more
      uint32_t fours[4];
#pragma unroll
      for (int j = 0; j < 4; ++j) fours[j] = fragments[2 * j + h];
      if constexpr (!kSelectors) transpose_quad(fours, lane);
#pragma unroll
      for (int j = 0; j < 4; ++j) a[j / 2][j % 2 * 2 + h] = fours[j];
    }
  }
};

// Where multiply_item() finds the warp's weights and the block's activations.
struct WideItem {
  const uint8_t* weights;  // [stage], the warp's
  uint32_t x;              // [stage][token], a shared address
  const float* scales;     // [stage][group][token]
  float* sums;             // the lane's, kWarp apart
  int n_stages;
};

// The warp's rows of one item, up to kN tokens. A lane's sum token / 8 * 4 + k is that of row
// lane / 4 + k / 2 * 8 and of token lane % 4 * 2 + k % 2 of the eight.
template <int kKind, int kGroup, int kN, typename CopyStage>
__device__ __forceinline__ void multiply_item(const FusedParams& p, const WideItem& item,
                                              const CopyStage& copy_stage) {
  using Shared = WideShared<kKind, kGroup>;
  constexpr int kChunks = kGroup / kChunkIn;
  constexpr int kStageGroups = kStageIn / kGroup;
  constexpr int kHalf = kN / 2;         // tokens
  constexpr int kHalfSums = kHalf / 2;  // of a lane
  const int lane = threadIdx.x % kWarp;
  const CodeTables<kKind> tables = code_tables<kKind>(p.centroids);
  float out[kN / 2] = {};
  int sum[2][kHalfSums];
  uint32_t a[kChunks][2][4];
  float gain[2];
  WideCodes<kKind> codes[kChunks];  // of the next group, and its gains
  float next_gain[2];

  const auto load = [&](int slot, int group) {
    const uint8_t* unit =
        item.weights + slot * Shared::kWeights + group * unit_bytes(kKind, kGroup);
#pragma unroll
    for (int c = 0; c < kChunks; ++c) {
      codes[c].load(unit + c * chunk_bytes(kKind), lane);
    }
    if constexpr (is_window(kKind)) {
      uint32_t last[kChunks], before[kChunks];
#pragma unroll
      for (int c = 0; c < kChunks; ++c) last[c] = last_codes<kKind>(codes[c].words);
      link_chunks(last, lane, before);
#pragma unroll
      for (int c = 0; c < kChunks; ++c) codes[c].before = before[c];
    }
    const auto* from = reinterpret_cast<const __half*>(unit + unit_code_bytes(kKind, kGroup));
    next_gain[0] = __half2float(from[lane / 4]);
    next_gain[1] = __half2float(from[lane / 4 + 8]);
  };
  const auto begin = [&](int half, uint64_t rows) {
#pragma unroll
    for (int c = 0; c < kChunks; ++c) {
#pragma unroll
      for (int s = 0; s < 2; ++s) {
        // 32 inputs further are 2 units of 16 bytes in the swizzled row.
        multiply_wide<kHalf>(sum[half], a[c][s],
                             rows + half * (kHalf * kStageIn / 16) + (c * 2 + s) * 2, c + s);
      }
    }
    commit_wide();
  };
  const auto scale = [&](int half, const float* scales) {
#pragma unroll
    for (int n = 0; n < kHalf / 8; ++n) {
      const float2 x_scale = *reinterpret_cast<const float2*>(scales + half * kHalf + n * 8);
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const float factor = gain[k / 2] * (k % 2 == 0 ? x_scale.x : x_scale.y);
        float& to = out[half * kHalfSums + n * 4 + k];
        to = fmaf(__int2float_rn(sum[half][n * 4 + k]), factor, to);  // the sum is exact
      }
    }
  };

  int segment = 0;
  int segment_end = item.n_stages / p.n_segments;
  int slot = 0;
#pragma unroll 1
  for (int stage = 0; stage < item.n_stages; ++stage) {
    wait_copies<Shared::kAhead - 2>();  // of the next stage, too
    __syncthreads();
    copy_stage(slot == 0 ? Shared::kStages - 1 : slot - 1);
    if (stage == 0) load(0, 0);
    const int next_slot = slot == Shared::kStages - 1 ? 0 : slot + 1;
    const uint64_t rows = describe_rows(item.x + slot * Shared::kXStage);
    const float* scales = item.scales + slot * (Shared::kScales / 4) + lane % 4 * 2;
#pragma unroll
    for (int g = 0; g < kStageGroups; ++g) {
      // The last stage may be half.
      if (g > 0 && stage * kStageIn + g * kGroup >= static_cast<int>(p.in_padded)) break;
#pragma unroll
      for (int c = 0; c < kChunks; ++c) codes[c].decode(tables, lane, a[c]);
      gain[0] = next_gain[0], gain[1] = next_gain[1];
      begin_wide();
      begin(0, rows + g * (kChunks * 4));
      begin(1, rows + g * (kChunks * 4));
      const bool ends = g == kStageGroups - 1;
      load(ends ? next_slot : slot, ends ? 0 : g + 1);
      wait_wide<1>(sum[0]);
      scale(0, scales + g * kWideTokens);
      wait_wide<0>(sum[1]);
      scale(1, scales + g * kWideTokens);
    }
    slot = next_slot;
    if (stage + 1 != segment_end) continue;
#pragma unroll
    for (int k = 0; k < kN / 2; ++k) {
      item.sums[k * kWarp] = segment > 0 ? item.sums[k * kWarp] + out[k] : out[k];
      out[k] = 0;
    }
    ++segment;
    segment_end = item.n_stages * (segment + 1) / p.n_segments;
  }
}

// Stores the lane's rows of a tile, whose sums lie in shared memory as multiply_item() leaves them:
// of token tiles first, first + step, ... 8 lanes, whose rows are neighbours, fill a sector.
template <bool kGated>
__device__ __forceinline__ void store_item(const FusedParams& p, const Work& work, int tile,
                                           const float* sums, int first, int step) {
  constexpr int kUp = kGroupWarps * (kWideTokens / 2) * kWarp;  // from gate's sums to up's
  const int lane = threadIdx.x % kWarp;
  const FusedPart& part = p.part[p.n_parts > 1 ? part_of(p, tile) : 0];
  const int64_t row = int64_t{tile - part.first_tile} * kTileRows + lane / 4;
  float bias[2] = {};
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    if (!kGated && part.bias != nullptr && row + h * 8 < part.rows) {
      bias[h] = part.bias[row + h * 8];
    }
  }
#pragma unroll 1
  for (int n = first; n * 8 < work.tokens; n += step) {
    const float* from = sums + n * (4 * kWarp);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const int token = n * 8 + lane % 4 * 2 + k % 2;
      if (token >= work.tokens || row + k / 2 * 8 >= part.rows) continue;
      float* out = part.out + row_at(work.out, token) * part.out_stride + row + k / 2 * 8;
      float value = from[k * kWarp] * p.centroids.unit;
      if constexpr (kGated) {
        value = activate(p.activate, value) * (from[kUp + k * kWarp] * p.centroids.unit);
      } else {
        value += bias[k / 2];
        if (p.accumulate) value += *out;
      }
      *out = value;
    }
  }
}

// Block (8 row tiles, or 4 of gate and 4 of up; item).
template <int kKind, int kGroup, bool kGated>
__global__ void __launch_bounds__(kFusedWarps* kWarp, 1)
    wide_kernel(const __grid_constant__ FusedParams p) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  using Shared = WideShared<kKind, kGroup>;
  constexpr int kAhead = Shared::kAhead;
  constexpr int kStageGroups = kStageIn / kGroup;
  constexpr int kThreads = kFusedWarps * kWarp;
  extern __shared__ __align__(128) uint8_t shared[];
  allow_next();
  const int warp = threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  const int tile = static_cast<int>(blockIdx.x) * kWideTiles<kGated> + warp % kWideTiles<kGated>;
  const int in = static_cast<int>(p.in_padded);
  const int n_stages = (in + kStageIn - 1) / kStageIn;
  const uint32_t base = shared_address(shared);
  uint8_t* const x_data = shared + ((Shared::kAlign - base % Shared::kAlign) % Shared::kAlign);
  uint8_t* const scale_data = x_data + Shared::kStages * Shared::kXStage;
  uint8_t* const weight_data =
      scale_data + Shared::kStages * (Shared::kScales + warp * Shared::kWeights);
  auto* const sums = reinterpret_cast<float*>(
      scale_data + Shared::kStages * (Shared::kScales + kFusedWarps * Shared::kWeights));

  const int tile_size = static_cast<int>(tile_bytes(kKind, kGroup, p.in_padded));
  const uint8_t* codes = nullptr;  // the lane's next 16 bytes
  const uint32_t codes_to = shared_address(weight_data) + lane * 16;
  int codes_left = tile < p.n_tiles ? tile_size - lane * 16 : 0;
  const auto copy_weights = [&](int slot) {
#pragma unroll
    for (int at = 0; at < Shared::kWeights; at += kWarp * 16) {
      copy_async16_if(codes_to + slot * Shared::kWeights + at, codes + at,
                      lane * 16 < Shared::kWeights - at && at < codes_left);
    }
    codes += Shared::kWeights;
    codes_left -= Shared::kWeights;
    commit_copies();
  };
  const auto start_weights = [&](int matrix) {
    const int part = p.n_parts > 1 ? part_of(p, min(tile, p.n_tiles - 1)) : 0;
    const uint8_t* first = p.n_parts > 0                   ? p.part[part].codes
                           : kGated && warp >= kGroupWarps ? p.up_table[matrix]
                                                           : p.work.table[matrix];
    codes = first + int64_t{tile - p.part[part].first_tile} * tile_size + lane * 16;
#pragma unroll
    for (int i = 0; i < kAhead; ++i) copy_weights(i);
  };
  const bool early = p.work.kind != WorkKind::kExperts && p.work.n == 1;
  if (early) start_weights(0);
  wait_for_previous();
  const Work work = find_work(p.work, static_cast<int>(blockIdx.y), kWideTokens);
  if (work.tokens == 0) {
    wait_copies<0>();
    return;
  }
  if (!early) start_weights(work.matrix);

  // A thread copies 16 bytes of every 32nd token, and a token's scale; of tokens that are not
  // there, which are multiplied too, those of the last.
  constexpr int kCopies = kWideTokens * 8 / kThreads;
  const int piece = threadIdx.x % 8;
  const int8_t* x_from[kCopies];
#pragma unroll
  for (int k = 0; k < kCopies; ++k) {
    const int t = static_cast<int>(threadIdx.x) / 8 + k * (kThreads / 8);
    x_from[k] = p.q8 + row_at(work.x, min(t, work.tokens - 1)) * in + piece * 16;
  }
  const uint32_t x_to =
      shared_address(x_data) + threadIdx.x / 8 * kStageIn + (piece ^ (threadIdx.x / 8 % 8)) * 16;
  const int scale_token = min(static_cast<int>(threadIdx.x) % kWideTokens, work.tokens - 1);
  const int scale_group = threadIdx.x / kWideTokens;
  const float* scale_from = p.q8_scale + row_at(work.x, scale_token) * (in / kGroup) + scale_group;
  const uint32_t scale_to = shared_address(scale_data) + threadIdx.x * 4;
  int x_left = in - piece * 16;
  int scales_left = scale_group < kStageGroups ? in / kGroup - scale_group : 0;
  const auto copy_x = [&](int slot) {
#pragma unroll
    for (int k = 0; k < kCopies; ++k) {
      copy_async16_if(x_to + slot * Shared::kXStage + k * (kThreads / 8 * kStageIn), x_from[k],
                      x_left > 0);
      x_from[k] += kStageIn;
    }
    copy_async4_if(scale_to + slot * Shared::kScales, scale_from, scales_left > 0);
    x_left -= kStageIn;
    scale_from += kStageGroups;
    scales_left -= kStageGroups;
  };
  for (int i = 0; i < kAhead; ++i) {
    copy_x(i);
    commit_copies();
  }
  const auto copy_stage = [&](int slot) {
    copy_x(slot);
    copy_weights(slot);
  };
  float* const own_sums = sums + warp * (kWideTokens / 2 * kWarp) + lane;
  const WideItem item{weight_data, shared_address(x_data),
                      reinterpret_cast<const float*>(scale_data), own_sums, n_stages};
  if (work.tokens > kWideTokens / 2) {
    multiply_item<kKind, kGroup, kWideTokens>(p, item, copy_stage);
  } else {
    multiply_item<kKind, kGroup, kWideTokens / 2>(p, item, copy_stage);
  }
  wait_copies<0>();
  if constexpr (kGated) {  // both warpgroups store
    __syncthreads();
    if (tile >= p.n_tiles) return;
    store_item<true>(p, work, tile, sums + warp % kGroupWarps * (kWideTokens / 2 * kWarp) + lane,
                     warp / kGroupWarps, kFusedWarps / kGroupWarps);
  } else if (tile < p.n_tiles) {
    store_item<false>(p, work, tile, own_sums, 0, 1);
  }
#endif
}

}  // namespace tq::cuda
