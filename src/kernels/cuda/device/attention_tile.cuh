// How the rows (query, head) of a ragged batch are cut into the tiles of attention's blocks.
#pragma once

#include "kernels/cuda/device/common.cuh"
#include "kernels/ops/attention.h"

namespace tq::cuda {

// The block's rows [first, first + n) of sequence `seq`: row i is query i / group and head
// i % group of the kv head's group of query heads.
struct Tile {
  int64_t seq;
  int64_t first;
  int n = 0;  // 0: nothing to do
  int64_t first_token;
  int64_t first_position;

  __device__ int64_t position(int64_t group, int i) const {
    return first_position + (first + i) / group;
  }
  // Index of the row's vector in [tokens, n_heads].
  __device__ int64_t vector(const AttentionArgs& args, int64_t group, int64_t kv_head,
                            int i) const {
    const int64_t row = first + i;
    return (first_token + row / group) * args.n_heads + kv_head * group + row % group;
  }
};

// The item-th tile of up to kRows rows.
template <int kRows>
__device__ Tile find_tile(const AttentionArgs& args, int64_t group, int item) {
  const int lane = threadIdx.x % kWarp;
  int before = 0;
  Tile tile;
  for (int base = 0; base < args.batch.n_seqs; base += kWarp) {
    const int s = base + lane;
    const int begin = s < args.batch.n_seqs ? args.batch.q_begin[s] : 0;
    const int end = s < args.batch.n_seqs ? args.batch.q_begin[s + 1] : 0;
    const int rows = (end - begin) * static_cast<int>(group);
    const int tiles = (rows + kRows - 1) / kRows;
    int sum = tiles;
#pragma unroll
    for (int step = 1; step < kWarp; step *= 2) {
      const int lower = __shfl_up_sync(kAllLanes, sum, step);
      if (lane >= step) sum += lower;
    }
    sum += before;
    const unsigned found = __ballot_sync(kAllLanes, sum > item && sum - tiles <= item);
    if (found != 0) {
      const int owner = __ffs(found) - 1;
      tile.seq = base + owner;
      tile.first = int64_t{item - __shfl_sync(kAllLanes, sum - tiles, owner)} * kRows;
      tile.n =
          static_cast<int>(min(int64_t{kRows}, __shfl_sync(kAllLanes, rows, owner) - tile.first));
      tile.first_token = __shfl_sync(kAllLanes, begin, owner);
      tile.first_position =
          args.batch.kv_len[tile.seq] - (__shfl_sync(kAllLanes, end, owner) - tile.first_token);
      return tile;
    }
    before = __shfl_sync(kAllLanes, sum, kWarp - 1);
  }
  return tile;
}

}  // namespace tq::cuda
