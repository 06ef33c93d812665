// Attention in plain loops, for heads of any size. A warp computes one row (token, query head):
// lanes share the keys 32 at a time for the scores and the dims for the values.
#include <algorithm>

#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/kv_formats.h"
#include "kernels/cuda/launch.cuh"

namespace tq::cuda {
namespace {

constexpr int kRowsPerBlock = 4;

// Softmax state over some keys: weighted values, largest score, sum of weights.
template <int kPerLane>
struct Softmax {
  float out[kPerLane];
  float max = -INFINITY;
  float sum = 0;

  __device__ void clear() {
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) out[i] = 0;
    max = -INFINITY;
    sum = 0;
  }
};

// Where a row is: its sequence's pages and which keys it sees.
struct RowPlace {
  const int32_t* blocks;
  int64_t position;
  int64_t first_key;
};

__device__ RowPlace find_row(const AttentionArgs& args, int64_t token) {
  int64_t low = 0;
  int64_t high = args.batch.n_seqs - 1;
  while (low < high) {  // the last sequence that begins at or before the token
    const int64_t middle = (low + high + 1) / 2;
    if (args.batch.q_begin[middle] <= token) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  const int64_t position = args.batch.kv_len[low] - (args.batch.q_begin[low + 1] - token);
  const int64_t first = args.window > 0 ? max(int64_t{0}, position - args.window + 1) : 0;
  return {args.batch.block_tables + low * args.batch.max_blocks, position, first};
}

// q . k for the lane's own key, in vectors of 16 bytes where the key's size allows.
template <typename T>
__device__ float dot_key(const float* q, const T* k, int dim) {
  constexpr int kVector = 16 / sizeof(T);
  float sum = 0;
  if (dim % kVector == 0) {
    for (int i = 0; i < dim; i += kVector) {
      T values[kVector];
      *reinterpret_cast<uint4*>(values) = *reinterpret_cast<const uint4*>(k + i);
#pragma unroll
      for (int j = 0; j < kVector; ++j) sum = fmaf(widen(values[j]), q[i + j], sum);
    }
  } else {
    for (int i = 0; i < dim; ++i) sum = fmaf(widen(k[i]), q[i], sum);
  }
  return sum;
}

template <typename T, int kPerLane>
__device__ void attend(const AttentionArgs& args, const RowPlace& row, int64_t kv_head,
                       const float* q, Softmax<kPerLane>& state) {
  const KvLayerView& kv = args.kv;
  const int lane = threadIdx.x % kWarp;
  const auto* keys = static_cast<const T*>(kv.k);
  const auto* values = static_cast<const T*>(kv.v != nullptr ? kv.v : kv.k);
  const int64_t v_stride = kv.v != nullptr ? kv.v_dim : kv.k_dim;
  const int64_t begin = row.first_key;
  const int64_t end = row.position + 1;
  state.clear();
  for (int64_t base = begin / kWarp * kWarp; base < end; base += kWarp) {
    const int64_t key = base + lane;
    const bool seen = key >= begin && key < end;
    int64_t slot = 0;
    float score = -INFINITY;
    if (seen) {
      slot =
          (int64_t{row.blocks[key / kKvBlockTokens]} * kv.n_kv_heads + kv_head) * kKvBlockTokens +
          key % kKvBlockTokens;
      score = dot_key(q, keys + slot * kv.k_dim, static_cast<int>(kv.k_dim)) * args.scale;
      if (args.softcap > 0) score = args.softcap * tanhf(score / args.softcap);
    }
    const float new_max = fmaxf(state.max, warp_max(score));
    const float weight = __expf(score - new_max);
    const float factor = __expf(state.max - new_max);
    state.sum = state.sum * factor + warp_sum(weight);
    state.max = new_max;
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) state.out[i] *= factor;
    const int first = static_cast<int>(max(begin - base, int64_t{0}));
    const int last = static_cast<int>(min(end - base, int64_t{kWarp}));
    for (int j = first; j < last; ++j) {
      const float w = __shfl_sync(kAllLanes, weight, j);
      const T* v = values + __shfl_sync(kAllLanes, slot, j) * v_stride;
#pragma unroll
      for (int i = 0; i < kPerLane; ++i) {
        const int d = lane + kWarp * i;
        if (d < kv.v_dim) state.out[i] = fmaf(w, widen(v[d]), state.out[i]);
      }
    }
  }
}

// A block takes kRowsPerBlock rows of [token, head].
template <typename T, int kPerLane>
__global__ void __launch_bounds__(kRowsPerBlock* kWarp)
    attention_kernel(const AttentionParams p, int64_t q_stride) {
  extern __shared__ float queries[];
  start_kernel();
  const AttentionArgs& args = p.args;
  const KvLayerView& kv = args.kv;
  const int lane = threadIdx.x % kWarp;
  const int64_t row = int64_t{blockIdx.x} * kRowsPerBlock + threadIdx.x / kWarp;
  if (row >= p.tokens * args.n_heads) return;
  const int64_t kv_head = row % args.n_heads / (args.n_heads / kv.n_kv_heads);
  const RowPlace place = find_row(args, row / args.n_heads);
  float* q = queries + threadIdx.x / kWarp * q_stride;
  for (int64_t i = lane; i < kv.k_dim; i += kWarp) q[i] = args.q[row * kv.k_dim + i];
  __syncwarp();
  Softmax<kPerLane> state;
  attend<T>(args, place, kv_head, q, state);
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const int64_t d = lane + kWarp * i;
    if (d < kv.v_dim) args.out[row * kv.v_dim + d] = state.out[i] / state.sum;
  }
}

template <typename T>
void launch_attention(const AttentionParams& p, cudaStream_t stream) {
  const int64_t q_stride = (p.args.kv.k_dim + 3) / 4 * 4;
  const LaunchShape shape{dim3(blocks_for(p.tokens * p.args.n_heads, kRowsPerBlock)),
                          dim3(kRowsPerBlock * kWarp),
                          static_cast<size_t>(kRowsPerBlock * q_stride) * sizeof(float)};
  const int64_t v_dim = p.args.kv.v_dim;
  if (v_dim <= 128) {
    return launch("attention", attention_kernel<T, 4>, shape, stream, p, q_stride);
  }
  if (v_dim <= 512) {
    return launch("attention", attention_kernel<T, 16>, shape, stream, p, q_stride);
  }
  launch("attention", attention_kernel<T, 32>, shape, stream, p, q_stride);
}

}  // namespace

void attention_reference(const AttentionParams& p, cudaStream_t stream) {
  with_kv_format(p.args.kv.format, [&](auto numbers) {
    launch_attention<typename decltype(numbers)::Type>(p, stream);
  });
}

}  // namespace tq::cuda
