// What a block of decode attention makes of projections by itself: its heads' queries and the
// newest key and value, in shared memory. One of the blocks that share a kv head writes the key and
// value into the cache.
#pragma once

#include "kernels/cuda/device/projected_head.cuh"

namespace tq::cuda {

// Shared memory: a warp a head of kRows queries, a key and a value.
template <typename T, int kRows>
struct DecodeInputs {
  static constexpr int kHeads = kRows + 2;
  static constexpr int kKey = kRows;
  static constexpr int kValue = kRows + 1;

  ProjectedHead from;
  float* heads;    // [kHeads, dim], then as much for weights of norms, then for tables of the rope
  T* newest;       // [2, dim]: key and value as they are stored
  int first_head;  // of the queries
  int rows;        // queries

  static __host__ __device__ constexpr size_t bytes(int dim) {
    return static_cast<size_t>(dim) * (3 * kHeads * sizeof(float) + 2 * sizeof(T));
  }
  __device__ float* head(int i) const { return heads + i * from.dim; }
  __device__ float* weight(int i) const { return heads + (kHeads + i) * from.dim; }
  __device__ float* table(int i) const { return heads + (2 * kHeads + i) * from.dim; }
  __device__ bool makes_key() const { return from.makes_key(); }
  // Whether the warp has a head to make.
  __device__ bool has_head(int warp) const {
    if (warp < kRows) return warp < rows;
    return makes_key() && (warp == kKey || (warp == kValue && !from.latent()));
  }
  static __device__ Projected what(int warp) {
    return warp < kRows ? Projected::kQuery : warp == kKey ? Projected::kKey : Projected::kValue;
  }

  // Before the kernels before us have ended: weights are always there.
  __device__ __forceinline__ void fetch_weights(int warp, int lane) const {
    if (!has_head(warp)) return;
    const float* norm = from.norm(what(warp));
    if (norm != nullptr) fetch_floats(norm, weight(warp), from.norm_dim(), lane);
  }
  // Of the warp; all of it is there for the block after the next barrier.
  __device__ __forceinline__ void make(int warp, int lane, bool stores) const {
    if (!has_head(warp)) return;
    float* x = head(warp);
    from.fetch(what(warp), first_head + warp, x, table(warp), lane);
    wait_fetched();
    from.finish(what(warp), x, table(warp),
                from.norm(what(warp)) == nullptr ? nullptr : weight(warp), lane);
    if (warp >= kRows) from.store(what(warp), x, newest + (warp - kKey) * from.dim, stores, lane);
  }
};

}  // namespace tq::cuda
