// Attention over caches of codes in plain loops, for heads of any size, with the bits of a row
// depending on its own keys alone. A warp computes one row (token, query head): lanes share the
// keys 32 at a time for the scores and the dims for the values. Sums are fp32, in the rotated
// basis, where the row's output is left.
#include <algorithm>

#include "kernels/cuda/codebooks.cuh"
#include "kernels/cuda/device/coded.cuh"
#include "kernels/cuda/kv_formats.h"
#include "kernels/cuda/launch.cuh"

namespace tq::cuda {
namespace {

constexpr int kRowsPerBlock = 4;

template <int kKeyBits, int kValueBits>
struct Centroids {
  float keys[1 << kKeyBits];
  float values[1 << kValueBits];
};

// A row on its way through its keys.
template <int kPerLane>
struct CodedRow {
  const CodedParams& p;
  const float* q;     // rotated
  const float* bias;  // factors, or null
  float bias_rest;
  int64_t kv_head;
  int lane;
  float max = -INFINITY;
  float sum = 0;
  float out[kPerLane] = {};

  // The vector of a key in planes whose pages `table` numbers.
  __device__ int64_t vector(const int32_t* table, int key) const {
    return (int64_t{table[key / kKvBlockTokens]} * p.args.kv.n_kv_heads + kv_head) *
               kKvBlockTokens +
           key % kKvBlockTokens;
  }
  __device__ float finish_score(float score, int key) const {
    const AttentionArgs& args = p.args;
    if (bias != nullptr) {
      const float* angles = args.key_bias.angles + key * args.key_bias.stride;
      float added = 0;
      for (int j = 0; j < 2 * args.key_bias.n_pairs; ++j) added = fmaf(angles[j], bias[j], added);
      score += added + bias_rest;
    }
    score *= args.scale;
    return args.softcap > 0 ? args.softcap * tanhf(score / args.softcap) : score;
  }
  // Keys [begin, end): score_of(vector) is the lane's product of the query with a key, and
  // value_of(vector, i) the lane's dim lane + 32 i of a value.
  template <typename Score, typename Value>
  __device__ void walk(const int32_t* pages, int begin, int end, Score score_of, Value value_of) {
    if (begin >= end) return;
    const int64_t dim = p.args.kv.v_dim;
    for (int base = begin / kWarp * kWarp; base < end; base += kWarp) {
      const int key = base + lane;
      int64_t at = 0;
      float score = -INFINITY;
      if (key >= begin && key < end) {
        at = vector(pages, key);
        score = finish_score(score_of(at), key);
      }
      const float new_max = fmaxf(max, warp_max(score));
      const float weight = __expf(score - new_max);
      const float factor = __expf(max - new_max);
      sum = sum * factor + warp_sum(weight);
      max = new_max;
#pragma unroll
      for (int i = 0; i < kPerLane; ++i) out[i] *= factor;
      const int last = min(end - base, kWarp);
      for (int j = ::max(begin - base, 0); j < last; ++j) {
        const float w = __shfl_sync(kAllLanes, weight, j);
        const int64_t v = __shfl_sync(kAllLanes, at, j);
#pragma unroll
        for (int i = 0; i < kPerLane; ++i) {
          if (kWarp * i < dim) out[i] = fmaf(w, value_of(v, i), out[i]);
        }
      }
    }
  }
};

template <int kBits>
__device__ float code_score(const KvLayerView& kv, const float* centroids, int group,
                            const float* q, int64_t vector) {
  const int dim = static_cast<int>(kv.k_dim);
  const auto* words = reinterpret_cast<const uint32_t*>(static_cast<const uint8_t*>(kv.k) +
                                                        vector * (dim / 8 * kBits));
  const uint16_t* gains = kv.k_gains + vector * (dim / group);
  float score = 0, part = 0;
  for (int first = 0; first < dim; first += 32, words += kBits) {
    uint32_t own[kBits];
#pragma unroll
    for (int w = 0; w < kBits; ++w) own[w] = words[w];
#pragma unroll
    for (int i = 0; i < 32; ++i)
      part = fmaf(centroids[index_of<kBits>(own, i)], q[first + i], part);
    if ((first + 32) % group != 0) continue;
    score = fmaf(part, __half2float(__ushort_as_half(gains[first / group])), score);
    part = 0;
  }
  return score;
}

template <typename Format, int kPerLane>
__global__ void __launch_bounds__(kRowsPerBlock* kWarp) coded_rows_kernel(
    const __grid_constant__ CodedParams p, const __grid_constant__ RotationMasks masks,
    const __grid_constant__ Centroids<Format::Keys::kBits, Format::Values::kBits> centroids,
    int shared_stride) {
  constexpr int kKeyBits = Format::Keys::kBits, kValueBits = Format::Values::kBits;
  extern __shared__ float coded_queries[];
  __shared__ float key_book[1 << kKeyBits], value_book[1 << kValueBits];
  for (int i = threadIdx.x; i < 1 << kKeyBits; i += blockDim.x) key_book[i] = centroids.keys[i];
  for (int i = threadIdx.x; i < 1 << kValueBits; i += blockDim.x) {
    value_book[i] = centroids.values[i];
  }
  __syncthreads();
  start_kernel();
  const AttentionArgs& args = p.args;
  const KvLayerView& kv = args.kv;
  const int lane = threadIdx.x % kWarp;
  const int64_t at = int64_t{blockIdx.x} * kRowsPerBlock + threadIdx.x / kWarp;
  if (at >= args.batch.tokens * args.n_heads) return;
  const int64_t token = at / args.n_heads;
  const int64_t kv_head = at % args.n_heads / (args.n_heads / kv.n_kv_heads);
  int64_t seq = 0, high = args.batch.n_seqs - 1;
  while (seq < high) {  // the last sequence that begins at or before the token
    const int64_t middle = (seq + high + 1) / 2;
    if (args.batch.q_begin[middle] <= token) {
      seq = middle;
    } else {
      high = middle - 1;
    }
  }
  const auto position =
      static_cast<int>(args.batch.kv_len[seq] - (args.batch.q_begin[seq + 1] - token));
  const KeyParts keys = key_parts(p, near_begin_of(p, seq), position);

  const int dim = static_cast<int>(kv.k_dim), group = kv_group(kv.k_dim);
  const int v_group = kv_group(kv.v_dim);
  float* const q = coded_queries + threadIdx.x / kWarp * shared_stride;
  for (int i = lane; i < dim; i += kWarp) q[i] = args.q[at * dim + i];
  __syncwarp();
  float* const bias = args.key_bias.bias != nullptr ? q + dim : nullptr;
  const float rest = bias != nullptr ? fill_bias_factors(args, q, kv_head, bias, lane) : 0.0f;
  rotate_vector(q, dim, group, masks, lane);

  CodedRow<kPerLane> row{p, q, bias, rest, kv_head, lane};
  const auto* codes = static_cast<const uint8_t*>(kv.v);
  row.walk(
      args.batch.block_tables + seq * args.batch.max_blocks, keys.far_begin(), keys.tail,
      [&](int64_t vector) { return code_score<kKeyBits>(kv, key_book, group, q, vector); },
      [&](int64_t vector, int i) {
        const auto* words = reinterpret_cast<const uint32_t*>(
            codes + vector * (kv.v_dim / 8 * kValueBits) + i * 4 * kValueBits);
        const uint16_t gain = kv.v_gains[vector * (kv.v_dim / v_group) + i * kWarp / v_group];
        return value_book[index_at<kValueBits>(words, lane)] * __half2float(__ushort_as_half(gain));
      });
  if (p.near.k != nullptr) {
    const int32_t* table = args.batch.near_tables + seq * args.batch.max_blocks;
    const auto* near_keys = static_cast<const __half*>(p.near.k);
    const auto* near_values = static_cast<const __half*>(p.near.v);
    const auto score = [&](int64_t vector) {
      const auto* key = reinterpret_cast<const __half2*>(near_keys + vector * dim);
      float sum = 0;
      for (int i = 0; i < dim / 2; ++i) {
        const float2 both = __half22float2(key[i]);
        sum = fmaf(both.x, q[2 * i], sum);
        sum = fmaf(both.y, q[2 * i + 1], sum);
      }
      return sum;
    };
    const auto value = [&](int64_t vector, int i) {
      return __half2float(near_values[vector * kv.v_dim + i * kWarp + lane]);
    };
    row.walk(table, keys.first, keys.sinks, score, value);
    row.walk(table, keys.tail_begin(), keys.end, score, value);
  }
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const int d = lane + kWarp * i;
    if (d < kv.v_dim) args.out[at * kv.v_dim + d] = row.out[i] / row.sum;
  }
}

template <typename Format>
void launch_rows(const AttentionArgs& args, cudaStream_t stream) {
  constexpr int kKeyBits = Format::Keys::kBits, kValueBits = Format::Values::kBits;
  const KvLayerView& kv = args.kv;
  const int group = kv_group(kv.k_dim);
  Centroids<kKeyBits, kValueBits> centroids;
  std::ranges::copy(codebook(kKeyBits, group).centroids, centroids.keys);
  std::ranges::copy(codebook(kValueBits, kv_group(kv.v_dim)).centroids, centroids.values);
  const bool biased = args.key_bias.bias != nullptr;
  const int64_t stride = kv.k_dim + (biased ? 2 * args.key_bias.n_pairs : 0);
  const LaunchShape shape{dim3(blocks_for(args.batch.tokens * args.n_heads, kRowsPerBlock)),
                          dim3(kRowsPerBlock * kWarp),
                          static_cast<size_t>(kRowsPerBlock * stride) * sizeof(float)};
  const auto run = [&](auto kernel) {
    launch("attention", kernel, shape, stream, coded_params(args), rotation_masks(group), centroids,
           static_cast<int>(stride));
  };
  if (kv.v_dim <= 128) return run(coded_rows_kernel<Format, 4>);
  if (kv.v_dim <= 512) return run(coded_rows_kernel<Format, 16>);
  run(coded_rows_kernel<Format, 32>);
}

}  // namespace

void attention_coded_rows(const AttentionArgs& args, cudaStream_t stream) {
  if (kv_group(args.kv.k_dim) == 0 || kv_group(args.kv.v_dim) == 0 || args.kv.v == nullptr) {
    fail_call("a cache of codes for heads of such sizes");
  }
  with_coded_format(args.kv.format,
                    [&](auto format) { launch_rows<decltype(format)>(args, stream); });
}

}  // namespace tq::cuda
