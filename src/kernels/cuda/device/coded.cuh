// Reading of caches of codes: which keys a row finds where, indices out of their bit stream, and
// the rotation of vectors in shared memory.
#pragma once

#include "format/kv_rotated.h"
#include "kernels/cuda/attention/coded.h"
#include "kernels/cuda/device/common.cuh"
#include "kernels/cuda/device/rotate.cuh"

namespace tq::cuda {

// Where the keys [first, end) of a row are: [first, sinks) and [tail, end) in near pages, the rest,
// far_begin() to tail, as codes.
struct KeyParts {
  int first;
  int sinks;
  int tail;
  int end;
  __device__ int far_begin() const { return max(first, sinks); }
  __device__ int tail_begin() const { return max(first, tail); }
};
// near_begin: the sequence's (RaggedBatch); of no meaning without near pages.
__device__ __forceinline__ KeyParts key_parts(const CodedParams& p, int near_begin, int position) {
  const AttentionArgs& args = p.args;
  const int end = position + 1;
  const int first = args.window > 0 ? max(0, end - static_cast<int>(args.window)) : 0;
  if (p.near.k == nullptr) return {first, 0, end, end};
  int tail = max(end - static_cast<int>(args.kv.tail), near_begin);
  tail = min(tail, end);  // no near pages that late: all but the sinks are codes
  if (tail <= args.kv.sinks) tail = 0;
  return {first, min(static_cast<int>(args.kv.sinks), tail), tail, end};
}
__device__ __forceinline__ int near_begin_of(const CodedParams& p, int64_t seq) {
  return p.near.k == nullptr ? 0 : p.args.batch.near_begin[seq];
}

// Index i of 32 in their words; i is known when compiled.
template <int kBits>
__device__ __forceinline__ uint32_t index_of(const uint32_t (&words)[kBits], int i) {
  const int bit = i * kBits;
  const int word = bit / 32, shift = bit % 32;
  const uint32_t value =
      shift + kBits <= 32
          ? words[word] >> shift
          : __funnelshift_r(words[word], words[word + 1 < kBits ? word + 1 : 0], shift);
  return value & ((1u << kBits) - 1);
}
// The same where each lane has its own i, out of memory.
template <int kBits>
__device__ __forceinline__ uint32_t index_at(const uint32_t* words, int i) {
  const int bit = i * kBits;
  const int word = bit / 32, shift = bit % 32;
  const uint32_t low = words[word];
  const uint32_t high = shift + kBits > 32 ? words[word + 1] : 0;
  return __funnelshift_r(low, high, shift) & ((1u << kBits) - 1);
}

template <int kGroup>
__device__ void rotate_groups(float* x, int dim, const RotationMasks& masks, int lane) {
  for (int first = 0; first < dim; first += kGroup) {
    RotatedGroup<kGroup> group;
    float* const own = x + first + lane * group.kPerLane;
#pragma unroll
    for (int k = 0; k < group.kPerLane; ++k) group.x[k] = own[k];
    group.rotate(masks.d1, masks.d2, masks.scale, lane);
#pragma unroll
    for (int k = 0; k < group.kPerLane; ++k) own[k] = group.x[k];
  }
}
// A vector in memory, in place, by one warp: to the basis of its codes.
__device__ __forceinline__ void rotate_vector(float* x, int dim, int group,
                                              const RotationMasks& masks, int lane) {
  if (group == 128) {
    rotate_groups<128>(x, dim, masks, lane);
  } else if (group == 64) {
    rotate_groups<64>(x, dim, masks, lane);
  } else {
    rotate_groups<32>(x, dim, masks, lane);
  }
  __syncwarp();
}

// bias_factors() of the CPU (attention_rows.h) by one warp: f[0 .. 2 * n_pairs), and what the dims
// beyond the pairs give. q: in the plain basis.
__device__ __noinline__ inline float fill_bias_factors(const AttentionArgs& args, const float* q,
                                                       int64_t kv_head, float* f, int lane) {
  const KeyBias& key = args.key_bias;
  const int dim = static_cast<int>(args.kv.k_dim);
  const float* bias = key.bias + kv_head * dim;
  const int n_pairs = static_cast<int>(key.n_pairs);
  const int step = key.interleaved ? 2 : 1;
  const int distance = key.interleaved ? 1 : n_pairs;
  for (int j = lane; j < n_pairs; j += kWarp) {
    const int a = j * step, b = a + distance;
    f[j] = q[a] * bias[a] + q[b] * bias[b];
    f[n_pairs + j] = q[b] * bias[a] - q[a] * bias[b];
  }
  float rest = 0;
  for (int i = 2 * n_pairs + lane; i < dim; i += kWarp) rest = fmaf(q[i], bias[i], rest);
  __syncwarp();
  return warp_sum(rest);
}

}  // namespace tq::cuda
