// What sampling does in one block: its shared memory, the order of tokens, sums and sorts
// (kernels/cuda/sample/sample.cu says what for). Included by sample.cu only.
#pragma once

#include "kernels/sample_math.h"

namespace tq::cuda {
namespace {

constexpr int kThreads = 1024;
constexpr int kWarps = kThreads / kWarp;
constexpr int kBins = 2 * kThreads;
constexpr int kMostSorted = kThreads;

struct Extremes {
  uint64_t highest;  // a rank
  uint64_t lowest;   // likewise, where the logit is above -infinity
  int broken;        // whether a logit is NaN or +infinity
};

// The last token that is kept, by its logit and its place in the block's part, outside which it may
// lie.
struct Cut {
  float logit;
  int place;
};

// What is known of the row.
struct Row {
  float highest;
  float bin_scale;  // bins of the first histogram, per distance to the highest
};

struct alignas(16) Shared {
  // Of this block, read by the others.
  uint32_t low[kBins];   // sums of a histogram: their lower halves,
  uint32_t high[kBins];  // and their upper ones
  uint64_t listed[kMostSorted];
  int n_listed[2];
  Extremes extremes;
  uint64_t warp_mass[kWarps];
  // Of the cluster, in every block.
  uint64_t bins[kBins];
  // Of this block.
  uint64_t sorted[kMostSorted];
  Extremes warp_extremes[kWarps];
  Extremes all;
  uint64_t scan[kWarps];
  uint64_t found[2];
  SampleRow how;
  Row row;
};

struct SampleParams {
  SampleArgs args;
  int64_t per_block;  // logits of a row, a multiple of kThreads
};

// In every function, so that the compiler knows what kind of memory it is.
extern __shared__ __align__(16) uint8_t sample_scratch[];
__device__ __forceinline__ Shared& shared() { return *reinterpret_cast<Shared*>(sample_scratch); }
__device__ __forceinline__ float* shared_logits() {
  return reinterpret_cast<float*>(sample_scratch + sizeof(Shared));
}

__device__ __forceinline__ uint64_t rank_of(float logit, uint32_t id) {
  const uint32_t bits = __float_as_uint(logit + 0.0f);  // -0 is 0
  const uint32_t key = bits >> 31 ? ~bits : bits | 0x80000000u;
  return uint64_t{key} << 32 | (0xffffffffu - id);
}
__device__ __forceinline__ float logit_of(uint64_t rank) {
  const auto key = static_cast<uint32_t>(rank >> 32);
  return __uint_as_float(key >> 31 ? key & 0x7fffffffu : ~key);
}
__device__ __forceinline__ int32_t id_of(uint64_t rank) {
  return static_cast<int32_t>(0xffffffffu - static_cast<uint32_t>(rank));
}

__device__ __forceinline__ uint64_t warp_scan(uint64_t x, int lane) {
#pragma unroll
  for (int step = 1; step < kWarp; step *= 2) {
    const uint64_t other = __shfl_up_sync(kAllLanes, x, step);
    if (lane >= step) x += other;
  }
  return x;
}
// The sum of x over the threads up to this one, and over all.
struct Scan {
  uint64_t up_to;
  uint64_t total;
};
__device__ __noinline__ Scan block_scan(uint64_t x) {
  Shared& s = shared();
  const int lane = threadIdx.x % kWarp;
  const int warp = threadIdx.x / kWarp;
  x = warp_scan(x, lane);
  __syncthreads();  // whoever scanned before is done reading
  if (lane == kWarp - 1) s.scan[warp] = x;
  __syncthreads();
  const uint64_t sums = warp_scan(s.scan[lane], lane);
  const uint64_t before = __shfl_sync(kAllLanes, sums, max(warp - 1, 0));
  return {warp > 0 ? before + x : x, __shfl_sync(kAllLanes, sums, kWarp - 1)};
}

__device__ __forceinline__ void merge(Extremes& a, const Extremes& b) {
  a.highest = max(a.highest, b.highest);
  a.lowest = min(a.lowest, b.lowest);
  a.broken |= b.broken;
}
__device__ __forceinline__ Extremes warp_merge(Extremes x) {
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2) {
    merge(x,
          {__shfl_xor_sync(kAllLanes, x.highest, step), __shfl_xor_sync(kAllLanes, x.lowest, step),
           __shfl_xor_sync(kAllLanes, x.broken, step)});
  }
  return x;
}
__device__ __forceinline__ Extremes no_extremes() { return {0, ~uint64_t{0}, 0}; }

// Adds to bin `at` of the block's histogram. The order does not matter: each sum that passes 2^32
// is seen by the thread that made it do so.
template <bool kWeights>
__device__ __forceinline__ void add_to_bin(int at, uint64_t x) {
  Shared& s = shared();
  if constexpr (!kWeights) {
    atomicAdd(&s.low[at], 1u);
  } else {
    const auto low = static_cast<uint32_t>(x);
    const uint32_t old = atomicAdd(&s.low[at], low);
    const uint32_t high = static_cast<uint32_t>(x >> 32) + (old + low < old ? 1u : 0u);
    if (high > 0) atomicAdd(&s.high[at], high);
  }
}

// Sorts the first n of `sorted`, the highest first.
__device__ __noinline__ void sort(int n) {
  Shared& s = shared();
  const int t = threadIdx.x;
  __syncthreads();
  uint64_t mine = t < n ? s.sorted[t] : 0;
  for (int size = 2; size < 2 * n; size *= 2) {
    for (int stride = size / 2; stride > 0; stride /= 2) {
      uint64_t other;
      if (stride >= kWarp) {
        __syncthreads();
        s.sorted[t] = mine;
        __syncthreads();
        other = s.sorted[t ^ stride];
      } else {
        other = __shfl_xor_sync(kAllLanes, mine, stride);
      }
      const bool takes_higher = ((t & stride) == 0) == ((t & size) == 0);
      mine = takes_higher ? max(mine, other) : min(mine, other);
    }
  }
  __syncthreads();
  s.sorted[t] = mine;
  __syncthreads();
}

// A bin of a histogram in which a sum comes to what is wanted.
struct Place {
  int bin;
  uint64_t before;  // the sum of the bins before
};

// The tokens that are kept: the first n of `sorted`, best first, or if n is 0 all up to the cut.
struct Kept {
  Cut cut;
  int n;
};

}  // namespace
}  // namespace tq::cuda
