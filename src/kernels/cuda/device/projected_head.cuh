// One head of a decode step made of its projection by a warp, as by attention_inputs() or
// latent_inputs(): fetched, normed, rotated; and its way into the cache.
#pragma once

#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/device/heads.cuh"

namespace tq::cuda {

enum class Projected : uint8_t { kQuery, kKey, kValue };

// Of sequence `seq` and a kv head. Memory is the caller's: x [dim], `table` [dim] for cosines and
// sines of the rope, both in shared memory.
struct ProjectedHead {
  const ProjectedInputs& from;
  int dim;  // of a key
  int seq;
  int kv_head;

  __device__ bool latent() const { return from.kind == ProjectedInputs::Kind::kLatent; }
  __device__ bool makes_key() const { return latent() || from.heads.k != nullptr; }
  // The norm's weight (null: 1) and its length; always there, also before the kernels before us
  // have ended.
  __device__ const float* norm(Projected what) const {
    if (latent()) return what == Projected::kKey ? from.latent.latent_norm : nullptr;
    return what == Projected::kKey     ? from.heads.k_norm
           : what == Projected::kQuery ? from.heads.q_norm
                                       : nullptr;
  }
  __device__ int norm_dim() const { return latent() ? static_cast<int>(from.latent.kv_rank) : dim; }

  // head: of the queries.
  __device__ __forceinline__ void fetch(Projected what, int head, float* x, float* table,
                                        int lane) const {
    if (latent()) {
      const LatentInputsArgs& args = from.latent;
      const auto rank = static_cast<int>(args.kv_rank);
      if (what == Projected::kKey) {
        fetch_floats(args.latent + int64_t{seq} * dim, x, dim, lane);
      } else {  // the absorbed part, then the rotated one
        const int64_t vector = int64_t{seq} * args.n_heads + head;
        const int64_t nope = args.nope_dim;
        fetch_floats(args.query + vector * dim, x, rank, lane);
        fetch_floats(args.q + vector * (nope + dim - rank) + nope, x + rank, dim - rank, lane);
      }
      return fetch_table(args.cos, args.sin, args.n_pairs, table, lane);
    }
    const AttentionInputsArgs& args = from.heads;
    const int64_t query = (int64_t{seq} * args.n_heads + head) * dim;
    const int64_t key = (seq * args.kv.n_kv_heads + kv_head) * dim;
    const bool value = what == Projected::kValue;
    const float* keys = value && !args.v_is_k ? args.v : args.k;
    fetch_floats(what == Projected::kQuery ? args.q + query : keys + key, x, dim, lane);
    if (!value) fetch_table(args.cos, args.sin, args.n_pairs, table, lane);
  }
  // What has been fetched. weight: norm()'s, or a copy of it.
  __device__ __forceinline__ void finish(Projected what, float* x, const float* table,
                                         const float* weight, int lane) const {
    if (latent()) {
      const LatentInputsArgs& args = from.latent;
      const auto rank = static_cast<int>(args.kv_rank);
      if (what == Projected::kKey) norm_head(x, rank, weight, args.eps, lane);
      const auto n = static_cast<int>(args.n_pairs);
      return rotate_head(x + rank, n, args.interleaved, table, table + n, lane);
    }
    const AttentionInputsArgs& args = from.heads;
    if (what == Projected::kValue) {
      if (args.v_norm) norm_head(x, dim, nullptr, args.eps, lane);
      return;
    }
    if (args.qk_norm) norm_head(x, dim, weight, args.eps, lane);
    const auto n = static_cast<int>(args.n_pairs);
    rotate_head(x, n, args.interleaved, table, table + n, lane);
  }
  // A key or value as it is stored, to `own` [dim] in shared memory and, if `stores`, the cache.
  template <typename T>
  __device__ __forceinline__ void store(Projected what, const float* x, T* own, bool stores,
                                        int lane) const {
    const KvLayerView& kv = latent() ? from.latent.kv : from.heads.kv;
    const int64_t slot = (latent() ? from.latent.slots : from.heads.slots)[seq];
    T* plane = static_cast<T*>(what == Projected::kKey ? kv.k : kv.v);
    T* out = plane + ((slot / kKvBlockTokens * kv.n_kv_heads + kv_head) * kKvBlockTokens +
                      slot % kKvBlockTokens) *
                         dim;
    for (int i = lane; i < dim; i += kWarp) {
      T stored;
      narrow(x[i], stored);
      own[i] = stored;
      if (stores) out[i] = stored;
    }
  }

 private:
  __device__ __forceinline__ void fetch_table(const float* cos, const float* sin, int64_t n_pairs,
                                              float* table, int lane) const {
    const auto n = static_cast<int>(n_pairs);
    fetch_floats(cos + seq * n_pairs, table, n, lane);
    fetch_floats(sin + seq * n_pairs, table + n, n, lane);
  }
};

}  // namespace tq::cuda
