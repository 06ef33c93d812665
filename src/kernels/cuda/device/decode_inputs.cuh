// What a block of decode attention makes of projections by itself: its heads' queries and the
// newest key and value, normed and rotated as by attention_inputs() or latent_inputs(), in shared
// memory. One of the blocks that share a kv head writes the key and value into the cache.
#pragma once

#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/device/heads.cuh"

namespace tq::cuda {

// Shared memory: a warp a head of kRows queries, a key and a value.
template <typename T, int kRows>
struct DecodeInputs {
  static constexpr int kHeads = kRows + 2;
  static constexpr int kKey = kRows;
  static constexpr int kValue = kRows + 1;

  const ProjectedInputs& from;
  int dim;       // of a key
  float* heads;  // [kHeads, dim], then as much for weights of norms, then for tables of the rope
  T* newest;     // [2, dim]: key and value as they are stored
  int seq;
  int kv_head;
  int first_head;  // of the queries
  int rows;        // queries

  static __host__ __device__ constexpr size_t bytes(int dim) {
    return static_cast<size_t>(dim) * (3 * kHeads * sizeof(float) + 2 * sizeof(T));
  }
  __device__ float* head(int i) const { return heads + i * dim; }
  __device__ float* weight(int i) const { return heads + (kHeads + i) * dim; }
  __device__ float* table(int i) const { return heads + (2 * kHeads + i) * dim; }
  __device__ bool latent() const { return from.kind == ProjectedInputs::Kind::kLatent; }
  __device__ bool makes_key() const { return latent() || from.heads.k != nullptr; }
  // Whether the warp has a head to make.
  __device__ bool has_head(int warp) const {
    if (warp < kRows) return warp < rows;
    return makes_key() && (warp == kKey || (warp == kValue && !latent()));
  }

  // Before the kernels before us have ended: weights are always there.
  __device__ __forceinline__ void fetch_weights(int warp, int lane) const {
    if (!has_head(warp) || warp == kValue) return;
    const float* norm = latent() ? (warp == kKey ? from.latent.latent_norm : nullptr)
                                 : (warp == kKey ? from.heads.k_norm : from.heads.q_norm);
    const int n = latent() ? static_cast<int>(from.latent.kv_rank) : dim;
    if (norm != nullptr) fetch_floats(norm, weight(warp), n, lane);
  }
  __device__ __forceinline__ void fetch_table(const float* cos, const float* sin, int64_t n_pairs,
                                              int warp, int lane) const {
    const int n = static_cast<int>(n_pairs);
    fetch_floats(cos + seq * n_pairs, table(warp), n, lane);
    fetch_floats(sin + seq * n_pairs, table(warp) + n, n, lane);
  }
  __device__ __forceinline__ void rotate(float* x, int64_t n_pairs, bool interleaved, int warp,
                                         int lane) const {
    const int n = static_cast<int>(n_pairs);
    rotate_head(x, n, interleaved, table(warp), table(warp) + n, lane);
  }
  __device__ __forceinline__ void make_head(int warp, int lane) const {
    const AttentionInputsArgs& args = from.heads;
    const int64_t query = (int64_t{seq} * args.n_heads + first_head + warp) * dim;
    const int64_t key = (seq * args.kv.n_kv_heads + kv_head) * dim;
    const bool value = warp == kValue;
    float* x = head(warp);
    fetch_floats(warp < kRows ? args.q + query : (value && !args.v_is_k ? args.v : args.k) + key, x,
                 dim, lane);
    if (!value) fetch_table(args.cos, args.sin, args.n_pairs, warp, lane);
    wait_fetched();
    if (value) {
      if (args.v_norm) norm_head(x, dim, nullptr, args.eps, lane);
      return;
    }
    const float* norm = warp == kKey ? args.k_norm : args.q_norm;
    if (args.qk_norm) norm_head(x, dim, norm == nullptr ? norm : weight(warp), args.eps, lane);
    rotate(x, args.n_pairs, args.interleaved, warp, lane);
  }
  __device__ __forceinline__ void make_latent(int warp, int lane) const {
    const LatentInputsArgs& args = from.latent;
    const auto rank = static_cast<int>(args.kv_rank);
    const int64_t vector = int64_t{seq} * args.n_heads + first_head + warp;
    float* x = head(warp);
    if (warp == kKey) {
      fetch_floats(args.latent + int64_t{seq} * dim, x, dim, lane);
    } else {  // the absorbed part, then the rotated one
      const int64_t nope = args.nope_dim;
      fetch_floats(args.query + vector * dim, x, rank, lane);
      fetch_floats(args.q + vector * (nope + dim - rank) + nope, x + rank, dim - rank, lane);
    }
    fetch_table(args.cos, args.sin, args.n_pairs, warp, lane);
    wait_fetched();
    if (warp == kKey) norm_head(x, rank, weight(warp), args.eps, lane);
    rotate(x + rank, args.n_pairs, args.interleaved, warp, lane);
  }
  // Of the warp; all of it is there for the block after the next barrier.
  __device__ __forceinline__ void make(int warp, int lane, bool stores) const {
    if (!has_head(warp)) return;
    if (latent()) {
      make_latent(warp, lane);
    } else {
      make_head(warp, lane);
    }
    if (warp < kRows) return;
    const KvLayerView& kv = latent() ? from.latent.kv : from.heads.kv;
    const int64_t slot = (latent() ? from.latent.slots : from.heads.slots)[seq];
    T* plane = static_cast<T*>(warp == kKey ? kv.k : kv.v);
    T* out = plane + ((slot / kKvBlockTokens * kv.n_kv_heads + kv_head) * kKvBlockTokens +
                      slot % kKvBlockTokens) *
                         dim;
    T* own = newest + (warp - kKey) * dim;
    for (int i = lane; i < dim; i += kWarp) {
      T stored;
      narrow(head(warp)[i], stored);
      own[i] = stored;
      if (stores) out[i] = stored;
    }
  }
};

}  // namespace tq::cuda
