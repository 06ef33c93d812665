// The product of 16-bit numbers on tensor cores, for many tokens: mma.m16n8k16 with fp32 sums.
// Weights are read as they are (f16, bf16), or are codes of tile_layout.h that become f16 on their
// way to shared memory; activations are 16-bit rows.
//
// A block of 8 warps makes 128 rows x kTokens tokens: 4 x 2 warps, 32 rows each. Stages of 64
// inputs lie in shared memory as rows of 128 bytes whose 16-byte pieces are swizzled. Copies run
// kStages - 1 stages ahead; codes are loaded into registers one stage ahead, decoded while the
// stage before is multiplied, and asked for in the second-level cache before that.
//
// Inputs are added in ascending order, 16 at a time, and tokens are columns of the mma: an output's
// bits do not depend on the batch.
#pragma once

#include <type_traits>

#include "kernels/cuda/device/mma16.cuh"
#include "kernels/cuda/device/windows.cuh"
#include "kernels/cuda/device/work.cuh"

namespace tq::cuda {

constexpr int kProductWarps = 8;
constexpr int kProductRows = 128;  // of a block
constexpr int kProductIn = 64;     // of a stage
constexpr int kProductStages = 3;
// Weights that are decoded lie in two buffers.
template <int kKind>
__host__ __device__ constexpr int weight_stages() {
  return kKind > 0 ? 2 : kProductStages;
}
constexpr int kProductRowBytes = 2 * kProductIn;
template <int kKind, int kTokens>
__host__ __device__ constexpr int product_shared_bytes() {
  return kProductRowBytes * (weight_stages<kKind>() * kProductRows + kProductStages * kTokens);
}
// What codes become is 2^-7 of them, so that no product with a gain overflows.
constexpr float kCodeScale = 1.0f / 128;

struct Product16Params {
  WorkParams work;  // its x_rows are those of x
  int64_t rows;     // of one matrix
  int64_t in;       // a multiple of 8
  int group;        // of codes
  const void* x;    // [x rows, x_stride], 16-bit
  int64_t x_stride;
  const float* x_scale;  // [x rows] or null for 1
  float unit;            // out = sum * unit * x_scale
  Centroids8 centroids;
  const float* bias;
  bool accumulate;
  float* out;
  int64_t out_stride;
};

// Four int8 to f16, times 2^-7 (exact) and the gain.
__device__ __forceinline__ void scale_codes(uint32_t codes, __half2 gain, uint32_t (&out)[2]) {
  const uint32_t bytes = codes ^ 0x80808080u;
  const __half2 factor = __float2half2_rn(kCodeScale);
  const __half2 shift = __float2half2_rn(-(1024 + 128) * kCodeScale);
#pragma unroll
  for (int k = 0; k < 2; ++k) {
    // The f16 numbers 1024 + byte.
    const uint32_t pair = permute(bytes, 0x64646464u, k == 0 ? 0x4140u : 0x4342u);
    const __half2 value = __hfma2(*reinterpret_cast<const __half2*>(&pair), factor, shift);
    const __half2 scaled = __hmul2(value, gain);
    out[k] = *reinterpret_cast<const uint32_t*>(&scaled);
  }
}

// A warp's stream of codes, a tile of 16 rows: one stage is a chunk of the layout.
template <int kKind>
struct CodeStream {
  const uint8_t* tile;
  int unit_size;   // bytes
  int code_bytes;  // of a unit
  int chunk_mask;  // chunks of a unit - 1
  int chunk_shift;
  int gain_at;  // this lane's first gain among those of a unit
  int group_size;
  ChunkCodes<kKind> codes;
  __half gain[2];  // of rows lane / 4 and 8 more

  __device__ __forceinline__ void start(const uint8_t* matrix, int64_t tile_index, int64_t in,
                                        int group, int lane) {
    tile = matrix + tile_index * tile_bytes(kKind, group, in);
    unit_size = unit_bytes(kKind, group);
    code_bytes = unit_code_bytes(kKind, group);
    chunk_mask = unit_in(group) / kChunkIn - 1;
    chunk_shift = chunk_mask == 3 ? 2 : chunk_mask;
    group_size = group;
    gain_at = (group < kChunkIn ? lane % 4 * 16 / group * kTileRows : 0) + lane / 4;
  }
  __device__ __forceinline__ const uint8_t* chunk_of(int stage) const {
    return tile + (stage >> chunk_shift) * int64_t{unit_size} +
           (stage & chunk_mask) * chunk_bytes(kKind);
  }
  __device__ __forceinline__ void load(int stage, int lane) {
    const auto load_word = [](const uint32_t* from) { return __ldg(from); };
    codes.load(chunk_of(stage), lane, load_word);
    if constexpr (is_window(kKind)) {
      const int chunk = stage & chunk_mask;
      const LanePlace before = place_before(group_size, chunk, lane);
      codes.load_before(chunk_of(stage - chunk + before.chunk), before.lane, load_word);
    }
    const auto* gains = reinterpret_cast<const __half*>(
        tile + (stage >> chunk_shift) * int64_t{unit_size} + code_bytes);
    gain[0] = gains[gain_at];
    gain[1] = gains[gain_at + 8];
  }
  // 128 bytes a lane.
  __device__ __forceinline__ void fetch(int stage, int lane) const {
    if (lane < bits_of(kKind)) prefetch(chunk_of(stage) + lane * 128);
  }
  // To rows first_row .. first_row + 15 of a stage in shared memory.
  __device__ __forceinline__ void store(uint8_t* stage, int first_row,
                                        const CodeTables<kKind>& tables, int lane) const {
    uint32_t values[8];
    codes.decode(tables, values);
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const __half2 factor = __half2half2(gain[h]);
      const int row = first_row + lane / 4 + 8 * h;
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        uint32_t first[2], second[2];
        scale_codes(values[4 * c + h], factor, first);
        scale_codes(values[4 * c + 2 + h], factor, second);
        *reinterpret_cast<uint4*>(stage + swizzled(row, lane % 4 * 2 + c)) =
            make_uint4(first[0], first[1], second[0], second[1]);
      }
    }
  }
};
template <>
struct CodeStream<0> {};

// Block (rows, item). kKind: of codes; 0: the weights are of type T, row by row.
template <typename T, int kKind, int kTokens>
__global__ void __launch_bounds__(kProductWarps* kWarp, 2)
    product16_kernel(const __grid_constant__ Product16Params p) {
  constexpr int kThreads = kProductWarps * kWarp;
  constexpr int kLineRows = kThreads / 8;  // rows that the block copies at a time
  constexpr int kWeightStages = weight_stages<kKind>();
  constexpr int kWeightBytes = kProductRows * kProductRowBytes;
  constexpr int kXBytes = kTokens * kProductRowBytes;
  constexpr int kWarpTokens = kTokens / 2;
  constexpr int kPairs = kWarpTokens / 16;  // of 8-token tiles
  constexpr int kAhead = kProductStages - 1;
  extern __shared__ __align__(128) uint8_t shared[];
  __shared__ int x_rows[kTokens];
  uint8_t* const w_ring = shared;
  uint8_t* const x_ring = shared + kWeightStages * kWeightBytes;

  start_kernel();
  const Work work = find_work(p.work, static_cast<int>(blockIdx.y), kTokens);
  if (work.tokens == 0) return;
  const int warp = threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  const int64_t first_row = int64_t{blockIdx.x} * kProductRows;
  for (int t = threadIdx.x; t < kTokens; t += kThreads) {
    x_rows[t] = t < work.tokens ? static_cast<int>(row_at(work.x, t)) : -1;
  }
  __syncthreads();

  const int in = static_cast<int>(p.in);
  const int n_stages = (in + kProductIn - 1) / kProductIn;
  const uint8_t* matrix = matrix_codes(p.work, work.matrix);
  // What this thread copies: piece `piece` of every kLineRows-th row.
  const int line = threadIdx.x / 8;
  const int piece = threadIdx.x % 8;
  const uint32_t place = swizzled(line, piece);
  // Where from, as elements from x (which lies in a scratch of less than 2 GiB) and from the first
  // of the block's rows.
  int x_from[kTokens / kLineRows];
#pragma unroll
  for (int j = 0; j < kTokens / kLineRows; ++j) {
    const int row = x_rows[line + j * kLineRows];
    x_from[j] = row < 0 ? -1 : row * static_cast<int>(p.x_stride) + piece * 8;
  }
  const auto* x = static_cast<const T*>(p.x);
  const T* w = nullptr;
  int w_from[kProductRows / kLineRows];
  if constexpr (kKind == 0) {
    w = reinterpret_cast<const T*>(matrix) + first_row * in;
    const int last = static_cast<int>(min(p.rows - first_row, int64_t{kProductRows})) - 1;
#pragma unroll
    for (int j = 0; j < kProductRows / kLineRows; ++j) {
      w_from[j] = min(line + j * kLineRows, last) * in + piece * 8;
    }
  }
  int copy_slot = 0;
  const auto copy_stage = [&](int i) {
    if (i < n_stages) {
      const int first = i * kProductIn;
      const bool inside = first + piece * 8 < in;
      const uint32_t x_to = shared_address(x_ring) + copy_slot * kXBytes + place;
#pragma unroll
      for (int j = 0; j < kTokens / kLineRows; ++j) {
        const bool reads = inside && x_from[j] >= 0;
        copy_async16_or_zero(x_to + j * kLineRows * kProductRowBytes,
                             x + (reads ? x_from[j] + first : 0), reads);
      }
      if constexpr (kKind == 0) {
        const uint32_t w_to = shared_address(w_ring) + copy_slot * kWeightBytes + place;
#pragma unroll
        for (int j = 0; j < kProductRows / kLineRows; ++j) {
          copy_async16_or_zero(w_to + j * kLineRows * kProductRowBytes,
                               w + (inside ? w_from[j] + first : 0), inside);
        }
      }
    }
    copy_slot = copy_slot + 1 == kProductStages ? 0 : copy_slot + 1;
    commit_copies();
  };
#pragma unroll
  for (int i = 0; i < kAhead; ++i) copy_stage(i);

  CodeStream<kKind> codes;
  [[maybe_unused]] const CodeTables<kKind> tables = code_tables<kKind>(p.centroids);
  if constexpr (kKind > 0) {
    const int64_t tile = first_row / kTileRows + warp;
    codes.start(matrix, min(tile, tiles(p.rows) - 1), p.in, p.group, lane);
    codes.load(0, lane);
    codes.store(w_ring, warp * kTileRows, tables, lane);
    if (n_stages > 1) codes.load(1, lane);
  }

  const int warp_row = warp % 4 * 32;
  const int warp_token = warp / 4 * kWarpTokens;
  const int n_pairs = (work.tokens - warp_token + 15) / 16;  // that have tokens
  float sum[2][2 * kPairs][4] = {};
  // Of this lane's rows of fragments; those of another step differ in two bits.
  const uint32_t w_lane = swizzled(warp_row + lane % 16, lane / 16);
  const uint32_t x_lane = swizzled(warp_token + lane / 16 * 8 + lane % 8, lane / 8 % 2);
  constexpr int kTileBytes = 16 * kProductRowBytes;
  // The first `pairs` pairs: a number that is known here leaves no branch between the products.
  const auto multiply_stage = [&](uint32_t w_stage, uint32_t x_stage, auto pairs) {
    constexpr int kDone = decltype(pairs)::value;
#pragma unroll
    for (int step = 0; step < kProductIn / 16; ++step) {
      uint32_t a[2][4];
      uint32_t b[kDone][4];
#pragma unroll
      for (int m = 0; m < 2; ++m) {
        load_matrices_at(a[m], w_stage + (w_lane ^ (step * 32)) + m * kTileBytes);
      }
#pragma unroll
      for (int n = 0; n < kDone; ++n) {
        load_matrices_at(b[n], x_stage + (x_lane ^ (step * 32)) + n * kTileBytes);
      }
#pragma unroll
      for (int n = 0; n < kDone; ++n) {
#pragma unroll
        for (int m = 0; m < 2; ++m) {
          multiply16<T>(sum[m][2 * n], a[m], b[n][0], b[n][1]);
          multiply16<T>(sum[m][2 * n + 1], a[m], b[n][2], b[n][3]);
        }
      }
    }
  };
  int x_slot = 0, w_slot = 0;
  for (int i = 0; i < n_stages; ++i) {
    wait_copies<kAhead - 1>();
    __syncthreads();
    copy_stage(i + kAhead);
    const int next = w_slot + 1 == kWeightStages ? 0 : w_slot + 1;
    if constexpr (kKind > 0) {
      if (i + 1 < n_stages) {
        codes.store(w_ring + next * kWeightBytes, warp * kTileRows, tables, lane);
        if (i + 2 < n_stages) codes.load(i + 2, lane);
        if (i + 6 < n_stages) codes.fetch(i + 6, lane);
      }
    }
    const uint32_t w_stage = shared_address(w_ring) + w_slot * kWeightBytes;
    const uint32_t x_stage = shared_address(x_ring) + x_slot * kXBytes;
    if (n_pairs > kPairs / 2) {
      multiply_stage(w_stage, x_stage, std::integral_constant<int, kPairs>());
    } else if (n_pairs > 0) {
      multiply_stage(w_stage, x_stage, std::integral_constant<int, kPairs / 2>());
    }
    x_slot = x_slot + 1 == kProductStages ? 0 : x_slot + 1;
    w_slot = next;
  }
  wait_copies<0>();

#pragma unroll
  for (int n = 0; n < 2 * kPairs; ++n) {
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      const int token = warp_token + n * 8 + lane % 4 * 2 + c;
      if (token >= work.tokens) continue;
      const float scale = p.x_scale == nullptr ? p.unit : p.unit * p.x_scale[x_rows[token]];
      float* out = p.out + row_at(work.out, token) * p.out_stride;
#pragma unroll
      for (int m = 0; m < 2; ++m) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          const int64_t row = first_row + warp_row + m * 16 + lane / 4 + 8 * h;
          if (row >= p.rows) continue;
          float value = sum[m][n][2 * h + c] * scale;
          if (p.bias != nullptr) value += p.bias[row];
          out[row] = p.accumulate ? out[row] + value : value;
        }
      }
    }
  }
}

}  // namespace tq::cuda
