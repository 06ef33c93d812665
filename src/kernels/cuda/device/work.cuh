// What a block of threads multiplies: which matrix and which tokens, for plain products, experts
// and heads alike.
#pragma once

#include "kernels/cuda/device/common.cuh"

namespace tq::cuda {

enum class WorkKind : uint8_t { kDense, kExperts, kHeads };

struct WorkParams {
  WorkKind kind;
  int n;                        // matrices
  int64_t tokens;               // kDense, kHeads: tokens of each matrix
  const uint8_t* codes;         // kDense: the matrix
  const uint8_t* const* table;  // else [n]
  const int32_t* begin;         // kExperts: Routing::begin
  const int32_t* pair_rows;     // kExperts: ExpertMatmulArgs::x_rows
  RowMap x_rows;                // kDense
  RowMap out_rows;              // kDense
};

// Up to block_tokens tokens of one matrix; token i reads row row_at(x, i) and writes out's.
struct Work {
  int matrix = 0;
  int tokens = 0;  // 0: nothing to do
  RowMap x;
  RowMap out;
};

// The item-th block of tokens. Every warp of a block finds it by itself.
__device__ inline Work find_work(const WorkParams& p, int item, int block_tokens) {
  Work work;
  if (p.kind == WorkKind::kExperts) {
    const int lane = threadIdx.x % kWarp;
    constexpr int kEach = 4;  // experts of a lane
    int before = 0;
    for (int base = 0; base < p.n; base += kEach * kWarp) {
      int begin[kEach + 1];
#pragma unroll
      for (int i = 0; i <= kEach; ++i) begin[i] = p.begin[min(base + lane * kEach + i, p.n)];
      int blocks[kEach];
      int sum = 0;
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        blocks[i] = (begin[i + 1] - begin[i] + block_tokens - 1) / block_tokens;
        sum += blocks[i];
      }
      const int own = sum;
#pragma unroll
      for (int step = 1; step < kWarp; step *= 2) {
        const int lower = __shfl_up_sync(kAllLanes, sum, step);
        if (lane >= step) sum += lower;
      }
      sum += before;
      // The lane that has the item finds the expert.
      int block = item - (sum - own);
      const unsigned found = __ballot_sync(kAllLanes, block >= 0 && block < own);
      before = __shfl_sync(kAllLanes, sum, kWarp - 1);
      if (found == 0) continue;
      int matrix = 0, start = 0, tokens = 0;
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        if (block >= 0 && block < blocks[i]) {
          matrix = base + lane * kEach + i;
          start = begin[i] + block * block_tokens;
          tokens = min(block_tokens, begin[i + 1] - start);
        }
        block -= blocks[i];
      }
      const int owner = __ffs(found) - 1;
      start = __shfl_sync(kAllLanes, start, owner);
      work.matrix = __shfl_sync(kAllLanes, matrix, owner);
      work.tokens = __shfl_sync(kAllLanes, tokens, owner);
      work.x =
          p.pair_rows != nullptr ? RowMap{p.pair_rows + start, 0, 1} : RowMap{nullptr, start, 1};
      work.out = RowMap{nullptr, start, 1};
      return work;
    }
    return work;
  }
  const int blocks = static_cast<int>((p.tokens + block_tokens - 1) / block_tokens);
  work.matrix = item / blocks;
  const int64_t start = int64_t{item % blocks} * block_tokens;
  work.tokens = static_cast<int>(min(int64_t{block_tokens}, p.tokens - start));
  if (p.kind == WorkKind::kHeads) {
    work.x = RowMap{nullptr, start * p.n + work.matrix, p.n};
    work.out = work.x;
    return work;
  }
  const auto from = [start](const RowMap& map) {
    return map.rows != nullptr ? RowMap{map.rows + start, 0, 1}
                               : RowMap{nullptr, map.first + start * map.step, map.step};
  };
  work.x = from(p.x_rows);
  work.out = from(p.out_rows);
  return work;
}

__device__ __forceinline__ const uint8_t* matrix_codes(const WorkParams& p, int matrix) {
  return p.kind == WorkKind::kDense ? p.codes : p.table[matrix];
}

}  // namespace tq::cuda
