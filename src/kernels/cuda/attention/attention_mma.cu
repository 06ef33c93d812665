// Attention over paged 16-bit KV on tensor cores. A block takes a tile of rows (query, head) of one
// sequence that read one kv head, 16 rows for each group of warps, and walks over its keys in
// chunks of kChunkKeys at fixed positions, each with a softmax of its own. The chunks' results are
// merged in ascending order: by the block, or, where tiles are few and chunks had blocks of their
// own, by the last of these. Warps of a group share a chunk's keys in the scores and the dims in
// the sums of values, which changes no order of operations. So a row's bits depend neither on the
// tile nor on the way the work was split.
//
// Queries and softmax weights enter the products as sums of two 16-bit numbers, so that nothing is
// rounded to 16 bits but what the cache holds.
#include <algorithm>

#include "base/math.h"
#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/device/attention_tile.cuh"
#include "kernels/cuda/device/mma16.cuh"
#include "kernels/cuda/kv_formats.h"
#include "kernels/cuda/launch.cuh"

namespace tq::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * kWarp;
constexpr int kTileRows = 16;  // of a product
constexpr int kPad = 8;        // elements behind each shared row: rows start in different banks
constexpr int kWeightStride = kChunkKeys + kPad;
constexpr int64_t kStep = 32;  // dims of the scores at a time

__host__ __device__ constexpr int64_t padded_dim(int64_t k_dim) {
  return (k_dim + kStep - 1) / kStep * kStep;
}

struct MmaParams {
  AttentionParams p;
  int n_blocks;  // of a tile: each takes every n_blocks-th chunk; 1: one block walks over all
  bool split;    // results go to p.partial
};

// Sums of values [row, chunk, v_dim], then (maximum, sum of weights) [row, chunk].
__device__ __forceinline__ float* partial_values(const AttentionParams& p, int64_t row,
                                                 int64_t chunk) {
  return p.partial + (row * p.n_chunks + chunk) * p.args.kv.v_dim;
}
__device__ __forceinline__ float2* partial_stats(const AttentionParams& p, int64_t row,
                                                 int64_t chunk) {
  const int64_t rows = p.tokens * p.args.n_heads;
  return reinterpret_cast<float2*>(p.partial + rows * p.n_chunks * p.args.kv.v_dim) +
         row * p.n_chunks + chunk;
}

// The chunks that a tile's rows see.
struct ChunkRange {
  int64_t first;
  int64_t last;
  __device__ ChunkRange(const AttentionArgs& args, const Tile& tile, int64_t group) {
    const int64_t first_key =
        args.window > 0 ? max(int64_t{0}, tile.position(group, 0) - args.window + 1) : 0;
    first = first_key / kChunkKeys;
    last = tile.position(group, tile.n - 1) / kChunkKeys;
  }
};

// Rows of 16-bit elements from global to shared memory, zeros where a row or its end is missing.
template <typename T>
__device__ __forceinline__ void copy_row(T* to, const T* from, bool valid, int dim, int padded,
                                         int lane) {
  for (int i = lane * 8; i < padded; i += kWarp * 8) {
    const bool inside = valid && i < dim;
    copy_async16_or_zero(shared_address(to + i), inside ? from + i : from, inside);
  }
}

// kGroups groups of 8 / kGroups warps; kValueDim: v_dim at most.
template <typename T, int kValueDim, int kGroups>
__global__ void __launch_bounds__(kThreads)
    attention_mma_kernel(const __grid_constant__ MmaParams params) {
  constexpr int kParts = kWarps / kGroups;
  constexpr int kRows = kTileRows * kGroups;
  constexpr int kKeyTiles = kChunkKeys / 8 / kParts;  // of 8 keys, of a warp
  constexpr int kDimTiles = kValueDim / 8 / kParts;   // of 8 dims, of a warp
  constexpr int kDimsAtOnce = kDimTiles % 2 == 0 ? 2 : 1;
  extern __shared__ __align__(16) uint8_t attention_shared[];
  __shared__ float maxima[kRows][kParts];
  __shared__ float sums[kRows][kChunkKeys / 8];
  __shared__ bool is_last;
  start_kernel();
  const AttentionParams& p = params.p;
  const AttentionArgs& args = p.args;
  const KvLayerView& kv = args.kv;
  const int64_t heads = args.n_heads / kv.n_kv_heads;  // that share keys
  const int64_t kv_head = blockIdx.y;
  const Tile tile = find_tile<kRows>(args, heads, static_cast<int>(blockIdx.x));
  if (tile.n == 0) return;
  const ChunkRange chunks(args, tile, heads);
  if (chunks.first + blockIdx.z > chunks.last) return;

  const int warp = threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  const int part = warp % kParts;
  const int first_row = warp / kParts * kTileRows;  // of the warp's group
  const int k_padded = static_cast<int>(padded_dim(kv.k_dim));
  const int k_stride = k_padded + kPad;
  const bool latent = kv.v == nullptr;
  const int v_stride = latent ? k_stride : kValueDim + kPad;
  T* const q_high = reinterpret_cast<T*>(attention_shared);  // [kRows][k_stride]
  T* const q_low = q_high + kRows * k_stride;
  T* const weight_high = q_low + kRows * k_stride;  // [kRows][kWeightStride]
  T* const weight_low = weight_high + kRows * kWeightStride;
  T* const keys = weight_low + kRows * kWeightStride;  // [kChunkKeys][k_stride]
  T* const values = latent ? keys : keys + kChunkKeys * k_stride;

  const int32_t* blocks = args.batch.block_tables + tile.seq * args.batch.max_blocks;
  const int64_t first_key =
      args.window > 0 ? max(int64_t{0}, tile.position(heads, 0) - args.window + 1) : 0;
  const int64_t last_key = tile.position(heads, tile.n - 1);
  // Starts the copies of a chunk's keys, or values.
  const auto copy_chunk = [&](T* to, const void* plane, int64_t dim, int padded, int stride,
                              int64_t chunk) {
    if (chunk <= chunks.last) {
      const auto* from = static_cast<const T*>(plane);
      int64_t page[kChunkKeys / kKvBlockTokens];
#pragma unroll
      for (int u = 0; u < kChunkKeys / kKvBlockTokens; ++u) {
        const int64_t at = chunk * (kChunkKeys / kKvBlockTokens) + u;
        page[u] = blocks[min(max(at, first_key / kKvBlockTokens), last_key / kKvBlockTokens)];
      }
#pragma unroll
      for (int j = 0; j < kChunkKeys / kWarps; ++j) {
        const int place = j * kWarps + warp;
        const int64_t key = chunk * kChunkKeys + place;
        const int64_t slot =
            (page[j * kWarps / kKvBlockTokens] * kv.n_kv_heads + kv_head) * kKvBlockTokens +
            place % kKvBlockTokens;
        copy_row(to + place * stride, from + slot * dim, key >= first_key && key <= last_key,
                 static_cast<int>(dim), padded, lane);
      }
    }
    commit_copies();
  };
  const auto copy_keys = [&](int64_t chunk) {
    copy_chunk(keys, kv.k, kv.k_dim, k_padded, k_stride, chunk);
  };
  const auto copy_values = [&](int64_t chunk) {
    if (!latent) copy_chunk(values, kv.v, kv.v_dim, kValueDim, v_stride, chunk);
  };
  const int step = params.n_blocks;
  int64_t chunk = chunks.first + blockIdx.z;
  copy_keys(chunk);
  copy_values(chunk);
  for (int r = warp; r < kRows; r += kWarps) {
    const float* q = args.q + tile.vector(args, heads, kv_head, min(r, tile.n - 1)) * kv.k_dim;
    for (int i = lane * 4; i < k_padded; i += kWarp * 4) {
      float4 x = {};
      if (r < tile.n && i < kv.k_dim) x = *reinterpret_cast<const float4*>(q + i);
      store_split(x.x, x.y, q_high + r * k_stride + i, q_low + r * k_stride + i);
      store_split(x.z, x.w, q_high + r * k_stride + i + 2, q_low + r * k_stride + i + 2);
    }
  }

  // This lane's two rows, and what is merged of earlier chunks.
  const int row[2] = {first_row + lane / 4, first_row + lane / 4 + 8};
  int64_t see_from[2], see_to[2];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    see_to[h] = row[h] < tile.n ? tile.position(heads, row[h]) : -1;
    see_from[h] = args.window > 0 ? see_to[h] - args.window + 1 : 0;
  }
  float merged[kDimTiles][4] = {};
  float merged_max[2] = {-INFINITY, -INFINITY};
  float merged_sum[2] = {};

  for (; chunk <= chunks.last; chunk += step) {
    if (latent) {
      wait_copies<0>();
    } else {
      wait_copies<1>();
    }
    __syncthreads();
    // Scores of the group's rows and this warp's keys.
    float high[kKeyTiles][4] = {}, low[kKeyTiles][4] = {};
    {
      const int q_at = (first_row + lane % 16) * k_stride + lane / 16 * 8;
      const int k_at = (part * kKeyTiles * 8 + lane % 8) * k_stride + lane / 8 * 8;
#pragma unroll 2
      for (int d = 0; d < k_padded; d += kStep) {
        uint32_t a_high[2][4], a_low[2][4];
#pragma unroll
        for (int s = 0; s < 2; ++s) {
          load_matrices(a_high[s], q_high + q_at + d + s * 16);
          load_matrices(a_low[s], q_low + q_at + d + s * 16);
        }
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n) {
          uint32_t b[4];
          load_matrices(b, keys + k_at + n * 8 * k_stride + d);
#pragma unroll
          for (int s = 0; s < 2; ++s) {
            multiply16<T>(high[n], a_high[s], b[2 * s], b[2 * s + 1]);
            multiply16<T>(low[n], a_low[s], b[2 * s], b[2 * s + 1]);
          }
        }
      }
    }
    float max[2] = {-INFINITY, -INFINITY};
    int from[2], to[2];  // keys of the chunk that the rows see
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      from[h] = static_cast<int>(::max(see_from[h] - chunk * kChunkKeys, int64_t{0}));
      to[h] = static_cast<int>(::min(see_to[h] - chunk * kChunkKeys, int64_t{kChunkKeys}));
    }
#pragma unroll
    for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const int key = (part * kKeyTiles + n) * 8 + lane % 4 * 2 + k % 2;
        float score = (high[n][k] + low[n][k]) * args.scale;
        if (args.softcap > 0) score = args.softcap * tanhf(score / args.softcap);
        high[n][k] = key >= from[k / 2] && key <= to[k / 2] ? score : -INFINITY;
        max[k / 2] = fmaxf(max[k / 2], high[n][k]);
      }
    }
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      max[h] = quad_max(max[h]);
      if (lane % 4 == 0) maxima[row[h]][part] = max[h];
    }
    __syncthreads();
    if (!latent) copy_keys(chunk + step);
      // Scores to weights; sums of 8 keys each.
#pragma unroll
    for (int h = 0; h < 2; ++h) {
#pragma unroll
      for (int i = 0; i < kParts; ++i) max[h] = fmaxf(max[h], maxima[row[h]][i]);
#pragma unroll
      for (int n = 0; n < kKeyTiles; ++n) {
        float weight[2];
#pragma unroll
        for (int k = 0; k < 2; ++k) {
          weight[k] = max[h] == -INFINITY ? 0.0f : __expf(high[n][2 * h + k] - max[h]);
        }
        const int key = (part * kKeyTiles + n) * 8;
        const float sum = quad_sum(weight[0] + weight[1]);
        if (lane % 4 == 0) sums[row[h]][key / 8] = sum;
        const int at = row[h] * kWeightStride + key + lane % 4 * 2;
        store_split(weight[0], weight[1], weight_high + at, weight_low + at);
      }
    }
    if (!latent) wait_copies<1>();
    __syncthreads();
    // Sums of values over all keys: the group's rows and this warp's dims.
    float out[kDimTiles][4] = {};
#pragma unroll
    for (int s = 0; s < kChunkKeys / 16; ++s) {
      uint32_t a_high[4], a_low[4];
      const int w_at = (first_row + lane % 16) * kWeightStride + s * 16 + lane / 16 * 8;
      load_matrices(a_high, weight_high + w_at);
      load_matrices(a_low, weight_low + w_at);
      const T* from = values + (s * 16 + lane % 16) * v_stride + part * kDimTiles * 8 +
                      (kDimsAtOnce == 2 ? lane / 16 * 8 : 0);
#pragma unroll
      for (int n = 0; n < kDimTiles; n += kDimsAtOnce) {
        uint32_t b[4];
        if constexpr (kDimsAtOnce == 2) {
          load_matrices_transposed(b, from + n * 8);
        } else {
          load_two_matrices_transposed(b, from + n * 8);
        }
#pragma unroll
        for (int m = 0; m < kDimsAtOnce; ++m) {
          multiply16<T>(out[n + m], a_high, b[2 * m], b[2 * m + 1]);
          multiply16<T>(out[n + m], a_low, b[2 * m], b[2 * m + 1]);
        }
      }
    }
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float sum = 0;
#pragma unroll
      for (int i = 0; i < kChunkKeys / 8; ++i) sum += sums[row[h]][i];
      if (params.split) {
        if (row[h] >= tile.n) continue;
        const int64_t vector = tile.vector(args, heads, kv_head, row[h]);
        float* to = partial_values(p, vector, chunk - chunks.first);
#pragma unroll
        for (int n = 0; n < kDimTiles; ++n) {
          const int d = (part * kDimTiles + n) * 8 + lane % 4 * 2;
          if (d < kv.v_dim) {
            *reinterpret_cast<float2*>(to + d) = make_float2(out[n][2 * h], out[n][2 * h + 1]);
          }
        }
        if (part == 0 && lane % 4 == 0) {
          *partial_stats(p, vector, chunk - chunks.first) = make_float2(max[h], sum);
        }
        continue;
      }
      const MergeFactors f = merge_factors(merged_max[h], max[h]);
#pragma unroll
      for (int n = 0; n < kDimTiles; ++n) {
#pragma unroll
        for (int k = 2 * h; k < 2 * h + 2; ++k) merged[n][k] = merge(f, merged[n][k], out[n][k]);
      }
      merged_sum[h] = merge(f, merged_sum[h], sum);
      merged_max[h] = f.max;
    }
    __syncthreads();
    if (latent) copy_keys(chunk + step);
    copy_values(chunk + step);
  }
  wait_copies<0>();

  if (!params.split) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      if (row[h] >= tile.n) continue;
      float* to = args.out + tile.vector(args, heads, kv_head, row[h]) * kv.v_dim;
#pragma unroll
      for (int n = 0; n < kDimTiles; ++n) {
        const int d = (part * kDimTiles + n) * 8 + lane % 4 * 2;
        if (d >= kv.v_dim) continue;
        *reinterpret_cast<float2*>(to + d) =
            make_float2(__fdiv_rn(merged[n][2 * h], merged_sum[h]),
                        __fdiv_rn(merged[n][2 * h + 1], merged_sum[h]));
      }
    }
    return;
  }
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {  // the counter is 0 again after the last block
    const auto others =
        static_cast<unsigned>(min(int64_t{params.n_blocks}, chunks.last - chunks.first + 1) - 1);
    is_last = atomicInc(p.counters + blockIdx.x * kv.n_kv_heads + kv_head, others) == others;
  }
  __syncthreads();
  if (!is_last) return;
  __threadfence();
  const int64_t n = chunks.last - chunks.first + 1;
  for (int i = threadIdx.x; i < tile.n * kv.v_dim; i += kThreads) {
    const int64_t vector = tile.vector(args, heads, kv_head, i / static_cast<int>(kv.v_dim));
    const int d = i % static_cast<int>(kv.v_dim);
    float value = 0, top = -INFINITY, sum = 0;
    constexpr int kAtOnce = 4;  // loads in flight
    for (int64_t c = 0; c < n; c += kAtOnce) {
      float2 stats[kAtOnce];
      float from[kAtOnce];
#pragma unroll
      for (int u = 0; u < kAtOnce; ++u) {
        const int64_t at = min(c + u, n - 1);
        stats[u] = *partial_stats(p, vector, at);
        from[u] = partial_values(p, vector, at)[d];
      }
#pragma unroll
      for (int u = 0; u < kAtOnce; ++u) {
        if (c + u >= n) break;
        const MergeFactors f = merge_factors(top, stats[u].x);
        value = merge(f, value, from[u]);
        sum = merge(f, sum, stats[u].y);
        top = f.max;
      }
    }
    args.out[vector * kv.v_dim + d] = __fdiv_rn(value, sum);
  }
}

constexpr int64_t kStaticBytes = 8 * 1024;  // and more than is used

int64_t shared_bytes(const KvLayerView& kv, int64_t value_dim, int64_t groups) {
  const int64_t k_stride = padded_dim(kv.k_dim) + kPad;
  const int64_t rows = kTileRows * groups;
  const int64_t v_stride = kv.v == nullptr ? 0 : value_dim + kPad;
  return 2 * (2 * rows * (k_stride + kWeightStride) + kChunkKeys * (k_stride + v_stride));
}

template <typename T, int kValueDim, int kGroups>
void launch_tiles(const MmaParams& p, cudaStream_t stream) {
  constexpr auto kKernel = attention_mma_kernel<T, kValueDim, kGroups>;
  allow_shared<kKernel>("attention: shared memory",
                        device_info().max_shared_bytes - static_cast<int>(kStaticBytes));
  const AttentionArgs& args = p.p.args;
  launch("attention", kKernel,
         {dim3(static_cast<unsigned>(most_tiles(args, p.p.tokens, kTileRows * kGroups)),
               static_cast<unsigned>(args.kv.n_kv_heads), static_cast<unsigned>(p.n_blocks)),
          dim3(kThreads), static_cast<size_t>(shared_bytes(args.kv, kValueDim, kGroups))},
         stream, p);
}

// Larger tiles share keys and values: where there are enough of them.
template <typename T, int kValueDim>
void launch_rows(const MmaParams& p, cudaStream_t stream) {
  constexpr int kMany = kValueDim > 256 ? 2 : 4;
  const AttentionArgs& args = p.p.args;
  const int64_t rows =
      p.p.tokens * (args.n_heads / args.kv.n_kv_heads) / std::max<int64_t>(args.batch.n_seqs, 1);
  const auto blocks = [&](int64_t groups) {
    return most_tiles(args, p.p.tokens, kTileRows * groups) * args.kv.n_kv_heads;
  };
  const auto waves = [&](int64_t groups) {  // of blocks that run at a time
    const int64_t fit =
        device_info().max_shared_bytes / (shared_bytes(args.kv, kValueDim, groups) + kStaticBytes);
    return ceil_div(blocks(groups), std::clamp<int64_t>(fit, 1, 4) * device_info().n_sms);
  };
  if (!p.split && rows > 2 * kTileRows &&
      shared_bytes(args.kv, kValueDim, kMany) + kStaticBytes <= device_info().max_shared_bytes &&
      (blocks(kMany) >= device_info().n_sms || waves(kMany) < waves(1))) {
    return launch_tiles<T, kValueDim, kMany>(p, stream);
  }
  launch_tiles<T, kValueDim, 1>(p, stream);
}

template <typename T>
void launch_dims(const MmaParams& p, cudaStream_t stream) {
  const int64_t v_dim = p.p.args.kv.v_dim;
  if (v_dim <= 64) return launch_rows<T, 64>(p, stream);
  if (v_dim <= 128) return launch_rows<T, 128>(p, stream);
  if (v_dim <= 256) return launch_rows<T, 256>(p, stream);
  launch_rows<T, 512>(p, stream);
}

}  // namespace

bool supports_mma(const KvLayerView& kv) {
  return kv_number_bytes(kv.format) == 2 && kv.k_dim % 8 == 0 && kv.v_dim % 8 == 0 &&
         kv.v_dim <= 512;
}

int64_t mma_shared_bytes(const KvLayerView& kv) {
  int64_t value_dim = 64;
  while (value_dim < kv.v_dim) value_dim *= 2;
  return shared_bytes(kv, value_dim, 1) + kStaticBytes;
}

void attention_mma(const AttentionParams& p, cudaStream_t stream) {
  MmaParams params{p, 1, p.n_chunks > 0};
  if (params.split) {
    const int64_t tiles = most_tiles(p.args, p.tokens, kTileRows) * p.args.kv.n_kv_heads;
    const int64_t enough = int64_t{4} * device_info().n_sms;
    params.n_blocks =
        static_cast<int>(std::min(p.n_chunks, (enough + tiles - 1) / std::max<int64_t>(tiles, 1)));
  }
  with_kv_format16(p.args.kv.format, [&](auto numbers) {
    launch_dims<typename decltype(numbers)::Type>(params, stream);
  });
}

}  // namespace tq::cuda
