// Attention over paged KV of any type without tensor cores. A block takes a tile of kRows rows
// (query, head) of one sequence that read one kv head, and walks over its keys in chunks of
// kChunkKeys at fixed positions, each with a softmax of its own. The chunks' results are merged in
// ascending order: by the block, or, when there are few tiles, by a second kernel after every chunk
// had a block. So a row's bits depend on neither, nor on the tile it is in.
#include <algorithm>

#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/device/attention_tile.cuh"
#include "kernels/cuda/kv_formats.h"
#include "kernels/cuda/launch.cuh"

namespace tq::cuda {
namespace {

constexpr int kRows = 4;
constexpr int kWarps = 8;
constexpr int kThreads = kWarps * kWarp;
constexpr int kKeyLanes = 8;  // lanes that share a key's dims in the scores
constexpr int kWarpKeys = kChunkKeys / kWarps;
constexpr int kRounds = kWarpKeys / (kWarp / kKeyLanes);  // keys of a lane in a chunk
constexpr int64_t kLongestValue = 512;

// A vector of 16 bytes widened.
template <typename T>
struct Vector {
  static constexpr int kSize = 16 / sizeof(T);
  float x[kSize];

  __device__ explicit Vector(const uint4& bits) {
    alignas(16) T values[kSize];
    *reinterpret_cast<uint4*>(values) = bits;
#pragma unroll
    for (int i = 0; i < kSize; ++i) x[i] = widen(values[i]);
  }
};

// What a block keeps in shared memory besides queries and sums of values.
struct TileState {
  float weights[kRows][kChunkKeys];  // scores, then their exponentials
  int64_t slots[kChunkKeys];         // of the chunk's keys in a plane of one kv head's pages
  float chunk_max[kRows];
  float chunk_sum[kRows];
};

// kValueDim: v_dim at most.
template <typename T, int kValueDim>
struct AttentionBlock {
  static constexpr int kVec = Vector<T>::kSize;
  // Lanes that share a value, and vectors of a value that a lane has.
  static constexpr int kValueLanes = kValueDim / kVec < kWarp ? kValueDim / kVec : kWarp;
  static constexpr int kVectors = kValueDim / kVec / kValueLanes;
  static constexpr int kOwn = kRows * kValueDim / kThreads;  // outputs of a thread

  const AttentionArgs& args;
  const Tile& tile;
  int64_t group;
  int64_t kv_head;
  const float* queries;  // [kRows, k_dim], shared
  float* sums;           // [kWarps, kRows, kValueDim], shared
  TileState& state;

  // The chunk's vectors on their way to the second-level cache, all at once.
  __device__ void prefetch_chunk(const void* plane, int64_t dim, int64_t stride) const {
    constexpr int kLine = 128 / sizeof(T);
    const int lines = static_cast<int>((dim + kLine - 1) / kLine);
    for (int i = threadIdx.x; i < kChunkKeys * lines; i += kThreads) {
      const int64_t slot = state.slots[i / lines];
      if (slot >= 0) prefetch(static_cast<const T*>(plane) + slot * stride + i % lines * kLine);
    }
  }

  // Keys [begin, end) of the chunk that any row sees.
  __device__ void score(int64_t first_key, int begin, int end) {
    const KvLayerView& kv = args.kv;
    const int warp = threadIdx.x / kWarp;
    const int lane = threadIdx.x % kWarp;
    const int32_t* blocks = args.batch.block_tables + tile.seq * args.batch.max_blocks;
    for (int j = threadIdx.x; j < kChunkKeys; j += kThreads) {
      const int64_t key = first_key + j;
      state.slots[j] =
          j < begin || j >= end
              ? -1
              : (int64_t{blocks[key / kKvBlockTokens]} * kv.n_kv_heads + kv_head) * kKvBlockTokens +
                    key % kKvBlockTokens;
    }
    __syncthreads();
    prefetch_chunk(kv.k, kv.k_dim, kv.k_dim);
    if (kv.v != nullptr) prefetch_chunk(kv.v, kv.v_dim, kv.v_dim);
    const T* keys[kRounds];
#pragma unroll
    for (int i = 0; i < kRounds; ++i) {
      const int64_t slot =
          state.slots[warp * kWarpKeys + i * (kWarp / kKeyLanes) + lane / kKeyLanes];
      keys[i] = slot < 0 ? nullptr : static_cast<const T*>(kv.k) + slot * kv.k_dim;
    }
    float dots[kRounds][kRows] = {};
#pragma unroll 2
    for (int64_t at = lane % kKeyLanes * kVec; at < kv.k_dim; at += kKeyLanes * kVec) {
      uint4 bits[kRounds];
#pragma unroll
      for (int i = 0; i < kRounds; ++i) {
        bits[i] = keys[i] == nullptr ? uint4{} : *reinterpret_cast<const uint4*>(keys[i] + at);
      }
#pragma unroll
      for (int i = 0; i < kRounds; ++i) {
        const Vector<T> k(bits[i]);
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
#pragma unroll
          for (int e = 0; e < kVec; e += 4) {
            const float4 q = *reinterpret_cast<const float4*>(queries + r * kv.k_dim + at + e);
            dots[i][r] = fmaf(q.x, k.x[e], dots[i][r]);
            dots[i][r] = fmaf(q.y, k.x[e + 1], dots[i][r]);
            dots[i][r] = fmaf(q.z, k.x[e + 2], dots[i][r]);
            dots[i][r] = fmaf(q.w, k.x[e + 3], dots[i][r]);
          }
        }
      }
    }
#pragma unroll
    for (int i = 0; i < kRounds; ++i) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        float dot = dots[i][r];
#pragma unroll
        for (int step = 1; step < kKeyLanes; step *= 2) {
          dot += __shfl_xor_sync(kAllLanes, dot, step);
        }
        if (lane % kKeyLanes == 0) {
          state.weights[r][warp * kWarpKeys + i * (kWarp / kKeyLanes) + lane / kKeyLanes] = dot;
        }
      }
    }
    __syncthreads();
  }

  // Row r's scores to weights, by one warp.
  __device__ void softmax(int r, int64_t first_key) {
    const int lane = threadIdx.x % kWarp;
    const int64_t last = tile.position(group, r);
    const int64_t first = args.window > 0 ? last - args.window + 1 : 0;
    float scores[kChunkKeys / kWarp];
    float max = -INFINITY;
#pragma unroll
    for (int i = 0; i < kChunkKeys / kWarp; ++i) {
      const int64_t key = first_key + i * kWarp + lane;
      float score = state.weights[r][i * kWarp + lane] * args.scale;
      if (args.softcap > 0) score = args.softcap * tanhf(score / args.softcap);
      scores[i] = r < tile.n && key >= first && key <= last ? score : -INFINITY;
      max = fmaxf(max, scores[i]);
    }
    max = warp_max(max);
    float sum = 0;
#pragma unroll
    for (int i = 0; i < kChunkKeys / kWarp; ++i) {
      const float weight = max == -INFINITY ? 0.0f : __expf(scores[i] - max);
      state.weights[r][i * kWarp + lane] = weight;
      sum += weight;
    }
    sum = warp_sum(sum);
    if (lane == 0) {
      state.chunk_max[r] = max;
      state.chunk_sum[r] = sum;
    }
  }

  __device__ void add_values() {
    const KvLayerView& kv = args.kv;
    const int warp = threadIdx.x / kWarp;
    const int lane = threadIdx.x % kWarp;
    const auto* plane = static_cast<const T*>(kv.v != nullptr ? kv.v : kv.k);
    const int64_t stride = kv.v != nullptr ? kv.v_dim : kv.k_dim;
    float out[kRows][kVectors][kVec] = {};
    constexpr int kAtOnce = kWarp / kValueLanes;  // keys
    constexpr int kUnroll = kVectors > 2 ? 2 : 4;
    for (int j0 = 0; j0 < kWarpKeys / kAtOnce; j0 += kUnroll) {
      uint4 bits[kUnroll][kVectors];
      int key[kUnroll];
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
        key[u] =
            min(j0 + u, kWarpKeys / kAtOnce - 1) * kAtOnce + lane / kValueLanes + warp * kWarpKeys;
        const int64_t slot = state.slots[key[u]];
#pragma unroll
        for (int v = 0; v < kVectors; ++v) {
          const int at = (v * kValueLanes + lane % kValueLanes) * kVec;
          bits[u][v] = slot < 0 || at >= kv.v_dim
                           ? uint4{}
                           : *reinterpret_cast<const uint4*>(plane + slot * stride + at);
        }
      }
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
        if (j0 + u >= kWarpKeys / kAtOnce) break;
#pragma unroll
        for (int v = 0; v < kVectors; ++v) {
          const Vector<T> value(bits[u][v]);
#pragma unroll
          for (int r = 0; r < kRows; ++r) {
            const float weight = state.weights[r][key[u]];
#pragma unroll
            for (int e = 0; e < kVec; ++e) {
              out[r][v][e] = fmaf(weight, value.x[e], out[r][v][e]);
            }
          }
        }
      }
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int v = 0; v < kVectors; ++v) {
#pragma unroll
        for (int e = 0; e < kVec; ++e) {
          float sum = out[r][v][e];
#pragma unroll
          for (int step = kValueLanes; step < kWarp; step *= 2) {
            sum += __shfl_xor_sync(kAllLanes, sum, step);
          }
          out[r][v][e] = sum;
        }
        if (lane < kValueLanes) {
          float* to = sums + (warp * kRows + r) * kValueDim + (v * kValueLanes + lane) * kVec;
#pragma unroll
          for (int e = 0; e < kVec; ++e) to[e] = out[r][v][e];
        }
      }
    }
    __syncthreads();
  }

  // The chunk's weights and sums of values: own[i] is output threadIdx.x + i * kThreads of
  // [kRows, kValueDim].
  __device__ void attend(int64_t chunk, float (&own)[kOwn]) {
    const int64_t first_key = chunk * kChunkKeys;
    const int64_t last = tile.position(group, tile.n - 1);
    const int64_t first = args.window > 0 ? tile.position(group, 0) - args.window + 1 : 0;
    const int begin = static_cast<int>(max(first - first_key, int64_t{0}));
    const int end = static_cast<int>(min(last + 1 - first_key, int64_t{kChunkKeys}));
    score(first_key, begin, end);
    for (int r = threadIdx.x / kWarp; r < kRows; r += kWarps) softmax(r, first_key);
    __syncthreads();
    add_values();
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      float sum = 0;
#pragma unroll
      for (int w = 0; w < kWarps; ++w) {
        sum += sums[w * kRows * kValueDim + threadIdx.x + i * kThreads];
      }
      own[i] = sum;
    }
  }
};

// Block (tile, kv head, chunk).
template <typename T, int kValueDim>
__global__ void __launch_bounds__(kThreads) attention_kernel(const AttentionParams p) {
  using Block = AttentionBlock<T, kValueDim>;
  constexpr int kOwn = Block::kOwn;
  extern __shared__ __align__(16) float attention_shared[];
  __shared__ TileState state;
  start_kernel();
  const AttentionArgs& args = p.args;
  const KvLayerView& kv = args.kv;
  const int64_t group = args.n_heads / kv.n_kv_heads;
  const int64_t kv_head = blockIdx.y;
  const Tile tile = find_tile<kRows>(args, group, static_cast<int>(blockIdx.x));
  if (tile.n == 0) return;
  const int64_t first_key =
      args.window > 0 ? max(int64_t{0}, tile.position(group, 0) - args.window + 1) : 0;
  const int64_t first_chunk = first_key / kChunkKeys;
  const int64_t last_chunk = tile.position(group, tile.n - 1) / kChunkKeys;
  const bool split = p.n_chunks > 0;
  if (split && first_chunk + blockIdx.z > last_chunk) return;

  float* sums = attention_shared;
  float* queries = sums + kWarps * kRows * kValueDim;
  for (int r = 0; r < kRows; ++r) {
    const float* q = args.q + tile.vector(args, group, kv_head, min(r, tile.n - 1)) * kv.k_dim;
    for (int64_t i = threadIdx.x; i < kv.k_dim; i += kThreads) queries[r * kv.k_dim + i] = q[i];
  }
  Block block{args, tile, group, kv_head, queries, sums, state};
  float own[kOwn];
  if (split) {
    const int64_t chunk = first_chunk + blockIdx.z;
    block.attend(chunk, own);
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int at = threadIdx.x + i * kThreads;
      const int r = at / kValueDim;
      const int d = at % kValueDim;
      if (r >= tile.n || d >= kv.v_dim) continue;
      float* out = p.partial + (tile.vector(args, group, kv_head, r) * p.n_chunks + blockIdx.z) *
                                   (kv.v_dim + 2);
      out[d] = own[i];
      if (d == 0) {
        out[kv.v_dim] = state.chunk_max[r];
        out[kv.v_dim + 1] = state.chunk_sum[r];
      }
    }
    return;
  }
  float all[kOwn] = {};
  float max[kOwn], sum[kOwn];  // of the output's row
#pragma unroll
  for (int i = 0; i < kOwn; ++i) {
    max[i] = -INFINITY;
    sum[i] = 0;
  }
  for (int64_t chunk = first_chunk; chunk <= last_chunk; ++chunk) {
    block.attend(chunk, own);
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int r = (threadIdx.x + i * kThreads) / kValueDim;
      const MergeFactors f = merge_factors(max[i], state.chunk_max[r]);
      all[i] = merge(f, all[i], own[i]);
      sum[i] = merge(f, sum[i], state.chunk_sum[r]);
      max[i] = f.max;
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < kOwn; ++i) {
    const int at = threadIdx.x + i * kThreads;
    const int r = at / kValueDim;
    const int d = at % kValueDim;
    if (r >= tile.n || d >= kv.v_dim) continue;
    args.out[tile.vector(args, group, kv_head, r) * kv.v_dim + d] = __fdiv_rn(all[i], sum[i]);
  }
}

// Block (tile, kv head, dims): a thread merges the chunks of one dim of one row.
__global__ void merge_chunks_kernel(const AttentionParams p) {
  start_kernel();
  const AttentionArgs& args = p.args;
  const int64_t v_dim = args.kv.v_dim;
  const int64_t group = args.n_heads / args.kv.n_kv_heads;
  const Tile tile = find_tile<kRows>(args, group, static_cast<int>(blockIdx.x));
  const int at = static_cast<int>(blockIdx.z * blockDim.x + threadIdx.x);
  const int r = static_cast<int>(at / v_dim);
  if (r >= tile.n) return;
  const int64_t d = at % v_dim;
  const int64_t first_key =
      args.window > 0 ? max(int64_t{0}, tile.position(group, 0) - args.window + 1) : 0;
  const int64_t n = tile.position(group, tile.n - 1) / kChunkKeys - first_key / kChunkKeys + 1;
  const int64_t row = tile.vector(args, group, blockIdx.y, r);
  float out = 0, max = -INFINITY, sum = 0;
  for (int64_t chunk = 0; chunk < n; ++chunk) {
    const float* part = p.partial + (row * p.n_chunks + chunk) * (v_dim + 2);
    const MergeFactors f = merge_factors(max, part[v_dim]);
    out = merge(f, out, part[d]);
    sum = merge(f, sum, part[v_dim + 1]);
    max = f.max;
  }
  args.out[row * v_dim + d] = __fdiv_rn(out, sum);
}

template <typename T, int kValueDim>
void launch_block(const AttentionParams& p, cudaStream_t stream) {
  const KvLayerView& kv = p.args.kv;
  constexpr auto kKernel = attention_kernel<T, kValueDim>;
  const size_t shared =
      static_cast<size_t>(kRows * (kWarps * kValueDim + kv.k_dim)) * sizeof(float);
  constexpr int kMost = 96 * 1024;
  allow_shared<kKernel>("attention: shared memory", kMost);
  launch("attention", kKernel,
         {dim3(static_cast<unsigned>(most_tiles(p.args, p.tokens, kRows)),
               static_cast<unsigned>(kv.n_kv_heads),
               static_cast<unsigned>(std::max<int64_t>(p.n_chunks, 1))),
          dim3(kThreads), shared},
         stream, p);
}

template <typename T>
void launch_attention(const AttentionParams& p, cudaStream_t stream) {
  const int64_t v_dim = p.args.kv.v_dim;
  if (v_dim <= 64) return launch_block<T, 64>(p, stream);
  if (v_dim <= 128) return launch_block<T, 128>(p, stream);
  if (v_dim <= 256) return launch_block<T, 256>(p, stream);
  launch_block<T, 512>(p, stream);
}

}  // namespace

bool supports_lanes(const KvLayerView& kv) {
  const int64_t bytes = kv_number_bytes(kv.format);
  if (bytes == 0) return false;
  const int64_t vector = 16 / bytes;
  return kv.k_dim % vector == 0 && kv.v_dim % vector == 0 && kv.v_dim <= kLongestValue;
}

void attention_lanes(const AttentionParams& p, cudaStream_t stream) {
  const KvLayerView& kv = p.args.kv;
  with_kv_format(kv.format, [&](auto numbers) {
    launch_attention<typename decltype(numbers)::Type>(p, stream);
  });
  if (p.n_chunks == 0) return;
  constexpr int kMergeThreads = 256;
  launch("merge_chunks", merge_chunks_kernel,
         {dim3(static_cast<unsigned>(most_tiles(p.args, p.tokens, kRows)),
               static_cast<unsigned>(kv.n_kv_heads), blocks_for(kRows * kv.v_dim, kMergeThreads)),
          dim3(kMergeThreads)},
         stream, p);
}

}  // namespace tq::cuda
