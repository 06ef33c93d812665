// Sampling: kernels/cpu/sample.cpp says what comes out, to the bit; this is how. A row belongs to a
// cluster of blocks, each of which holds a part of the logits in its shared memory, so the row is
// read once and everything after costs a pass over shared memory and a barrier of the cluster.
// Where there are no clusters a block has the whole row, and reads it again where it does not fit.
//
// The order of tokens (higher logit first, then the lower id) is that of 64-bit ranks, all of which
// differ. top_k and top_p are each a search for the last token that is kept: a histogram over bins
// of the distance to the highest logit (tokens counted, or their weights summed) finds the bin in
// which the limit lies. If that bin and those before it hold few tokens, as they mostly do, they
// are gathered and sorted, and all else is done with that list. Otherwise what is in the bin is
// sorted, after histograms over bins of ranks if that is too much too, and the last pass sums the
// weights of what is kept by warps, whose parts of the row follow each other: the drawn number
// falls into one.
#include <cooperative_groups.h>

#include <algorithm>

#include "kernels/cuda/device/common.cuh"
#include "kernels/cuda/device/sample_block.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/sample/sample.h"
#include "kernels/sample_math.h"

namespace tq::cuda {
namespace {

// A row's work in a block of kBlocks. kInShared: the part of the row fits into shared memory, where
// it is followed by logits of -infinity up to a multiple of 4.
template <int kBlocks, bool kInShared>
struct RowSampling {
  static __device__ __forceinline__ int block() {
    return kBlocks == 1 ? 0 : static_cast<int>(blockIdx.x);
  }
  static __device__ __forceinline__ void sync_cluster() {
#if __CUDA_ARCH__ >= 900
    if constexpr (kBlocks > 1) {
      cooperative_groups::this_cluster().sync();
      return;
    }
#endif
    __syncthreads();
  }
  // The same in another block of the cluster.
  template <typename T>
  static __device__ __forceinline__ T* in_block(T* mine, int other) {
#if __CUDA_ARCH__ >= 900
    if constexpr (kBlocks > 1) {
      return cooperative_groups::this_cluster().map_shared_rank(mine, other);
    }
#endif
    return mine;
  }

  const SampleParams& p;
  uint32_t begin;     // the id of the first logit
  int n;              // logits of this block
  float* far;         // they, where they came from
  float highest = 0;  // of the row
  float scale = 0;

  __device__ explicit RowSampling(const SampleParams& params) : p(params) {
    const int64_t first = block() * p.per_block;
    begin = static_cast<uint32_t>(first);
    n = static_cast<int>(max(int64_t{0}, min(p.per_block, p.args.n - first)));
    far = p.args.logits + int64_t{blockIdx.y} * p.args.stride + first;
  }
  // In a function of its own, which has the registers to itself: with what run() has found.
  static __device__ __forceinline__ RowSampling recall(const SampleParams& p) {
    RowSampling row(p);
    row.highest = shared().row.highest;
    row.scale = shared().how.scale;
    return row;
  }
  template <bool kWeights>
  static __device__ __noinline__ Kept call_keep_best(const SampleParams& p, Kept kept) {
    return recall(p).template keep_best<kWeights>(kept);
  }
  static __device__ __noinline__ void call_draw_from_row(const SampleParams& p, Cut cut) {
    recall(p).draw_from_row(cut);
  }
  static __device__ __noinline__ void call_draw_from_list(const SampleParams& p, int count) {
    recall(p).draw_from_list(count);
  }

  __device__ __forceinline__ float exponent(float logit) const {
    return sample_exponent(highest - logit, scale);
  }
  __device__ __forceinline__ uint64_t rank(float logit, int place) const {
    return rank_of(logit, begin + static_cast<uint32_t>(place));
  }
  // Logits 4 v to 4 v + 3, where v < n / 4 rounded up.
  __device__ __forceinline__ float4 four(int v) const {
    if constexpr (kInShared) return reinterpret_cast<const float4*>(shared_logits())[v];
    const auto one = [&](int i) { return i < n ? far[i] : -INFINITY; };
    return {one(4 * v), one(4 * v + 1), one(4 * v + 2), one(4 * v + 3)};
  }
  // Calls f(logit, place) for all logits of the thread.
  template <typename F>
  __device__ __forceinline__ void for_each(const F& f) const {
    const int n_fours = (n + 3) / 4;
#pragma unroll 2
    for (int v = threadIdx.x; v < n_fours; v += kThreads) {
      const float4 x = four(v);
      f(x.x, 4 * v);
      f(x.y, 4 * v + 1);
      f(x.z, 4 * v + 2);
      f(x.w, 4 * v + 3);
    }
  }

  // The cluster's, in every thread; a barrier of the cluster lies within.
  static __device__ __noinline__ Extremes merge_extremes(Extremes x) {
    Shared& s = shared();
    const int lane = threadIdx.x % kWarp;
    x = warp_merge(x);
    if (lane == 0) s.warp_extremes[threadIdx.x / kWarp] = x;
    __syncthreads();
    if (threadIdx.x < kWarp) {
      x = warp_merge(s.warp_extremes[lane]);
      if (lane == 0) s.extremes = x;
    }
    sync_cluster();
    if (threadIdx.x < kWarp) {
      x = warp_merge(lane < kBlocks ? *in_block(&s.extremes, lane) : no_extremes());
      if (lane == 0) s.all = x;
    }
    __syncthreads();
    return s.all;
  }

  // Adds up the blocks' histograms.
  template <bool kWeights>
  static __device__ __noinline__ void merge_bins() {
    Shared& s = shared();
    sync_cluster();
    constexpr int kSlice = kBins / kBlocks;
    for (int t = threadIdx.x; t < kSlice; t += kThreads) {
      const int i = block() * kSlice + t;
      uint64_t sum = 0;
#pragma unroll 8
      for (int b = 0; b < kBlocks; ++b) {
        const Shared& other = *in_block(&s, b);
        sum += other.low[i];
        if constexpr (kWeights) sum += uint64_t{other.high[i]} << 32;
      }
#pragma unroll 8
      for (int b = 0; b < kBlocks; ++b) in_block(&s, b)->bins[i] = sum;
    }
    sync_cluster();
  }

  // Merges the blocks' histograms, and finds the first bin up to which wanted(sum of all) is
  // reached, which is `target` then. bin is kBins where all together are less.
  template <bool kWeights, typename Wanted>
  static __device__ __forceinline__ Place find_bin(const Wanted& wanted, uint64_t& target) {
    Shared& s = shared();
    merge_bins<kWeights>();
    const uint64_t a = s.bins[2 * threadIdx.x];
    const uint64_t b = s.bins[2 * threadIdx.x + 1];
    const Scan sums = block_scan(a + b);
    target = wanted(sums.total);
    if (sums.total < target) return {kBins, 0};
    const uint64_t before = sums.up_to - a - b;
    if (before < target && target <= sums.up_to) {
      const bool in_b = before + a < target;
      s.found[0] = 2 * threadIdx.x + (in_b ? 1 : 0);
      s.found[1] = in_b ? before + a : before;
    }
    __syncthreads();
    return {static_cast<int>(s.found[0]), s.found[1]};
  }

  static __device__ __forceinline__ bool keeps(const Cut& cut, float logit, int place) {
    return logit > cut.logit || (logit == cut.logit && place <= cut.place);
  }

  // bin_of(logit, place) is below 0 for what shall not be counted.
  template <bool kWeights, typename BinOf>
  __device__ __forceinline__ void fill_bins(const BinOf& bin_of) const {
    Shared& s = shared();
    for (int i = threadIdx.x; i < kBins; i += kThreads) {
      s.low[i] = 0;
      if constexpr (kWeights) s.high[i] = 0;
    }
    __syncthreads();
    for_each([&](float logit, int place) {
      const float x = exponent(logit);
      const int bin = bin_of(logit, place);
      if (x < kNoWeight && bin >= 0) add_to_bin<kWeights>(bin, kWeights ? sample_weight(x) : 1);
    });
  }

  // gather()'s second part, when every block has its own.
  static __device__ __noinline__ int collect(int counter) {
    Shared& s = shared();
    sync_cluster();
    int counts[kBlocks];
    int sum = 0;
#pragma unroll
    for (int b = 0; b < kBlocks; ++b) counts[b] = in_block(s.n_listed, b)[counter];
#pragma unroll
    for (int b = 0; b < kBlocks; ++b) sum += counts[b];
    if (sum > kMostSorted) return sum;
    int at = threadIdx.x;
#pragma unroll
    for (int b = 0; b < kBlocks; ++b) {
      if (threadIdx.x < counts[b]) s.sorted[at] = in_block(s.listed, b)[threadIdx.x];
      at += counts[b];
    }
    return sum;
  }

  // Gathers the ranks of the cluster's tokens that match in `sorted` of every block, in no order,
  // and returns their number; more than kMostSorted when there are so many, gathering none. Calls
  // that follow each other without a find_bin() between them take different counters.
  template <typename Matches>
  __device__ __forceinline__ int gather(int counter, const Matches& matches) const {
    Shared& s = shared();
    if (threadIdx.x == 0) s.n_listed[counter] = 0;
    __syncthreads();
    bool full = false;
    for_each([&](float logit, int place) {
      if (!matches(logit, place) || !(exponent(logit) < kNoWeight) || full) return;
      const int at = atomicAdd(&s.n_listed[counter], 1);
      full = at >= kMostSorted;
      if (!full) s.listed[at] = rank(logit, place);
    });
    return collect(counter);
  }

  // The ranks between which the cluster's tokens of a bin lie.
  template <typename Matches>
  __device__ __forceinline__ Extremes find_range(const Matches& matches) const {
    Extremes range = no_extremes();
    for_each([&](float logit, int place) {
      if (!(exponent(logit) < kNoWeight) || !matches(logit, place)) return;
      const uint64_t r = rank(logit, place);
      merge(range, {r, r, 0});
    });
    return merge_extremes(range);
  }

  // How many of the first `count` of `sorted` it takes to reach wanted(all of them), counted or by
  // weight; all when they do not.
  template <bool kWeights, typename Wanted>
  __device__ __forceinline__ int find_end(int count, const Wanted& wanted) const {
    Shared& s = shared();
    if constexpr (!kWeights) return static_cast<int>(min(wanted(count), uint64_t{kMostSorted}));
    const uint64_t mine =
        threadIdx.x < count ? sample_weight(exponent(logit_of(s.sorted[threadIdx.x]))) : 0;
    const Scan sums = block_scan(mine);
    const uint64_t target = wanted(sums.total);
    if (sums.total < target) return count;
    if (sums.up_to - mine < target && target <= sums.up_to) s.found[0] = threadIdx.x + 1;
    __syncthreads();
    return static_cast<int>(s.found[0]);
  }

  // Makes `sorted` the tokens of a bin: those that match, of which `target` are wanted, or parts of
  // them if they are too many; `target` is what is wanted of the part then. Returns their number.
  template <bool kWeights, typename Matches>
  __device__ __forceinline__ int gather_bin(const Matches& in_bin, uint64_t& target) const {
    int count = gather(1, in_bin);
    if (count <= kMostSorted) return count;
    Extremes range = find_range(in_bin);
    while (true) {
      const uint64_t first = range.highest, last = range.lowest;
      const int shift = max(0, 64 - __clzll(static_cast<long long>(first - last)) - 11);
      const auto by_rank = [&](float logit, int place) {
        const uint64_t r = rank(logit, place);
        return r > first || r < last ? -1 : static_cast<int>((first - r) >> shift);
      };
      fill_bins<kWeights>(by_rank);
      const Place place = find_bin<kWeights>([&](uint64_t) { return target; }, target);
      target -= place.before;
      const auto in_part = [&](float logit, int i) { return by_rank(logit, i) == place.bin; };
      count = gather(0, in_part);
      if (count <= kMostSorted) return count;
      range = find_range(in_part);
    }
  }

  // Of what is kept only what top_k, or (by weights) top_p keeps.
  template <bool kWeights>
  __device__ __forceinline__ Kept keep_best(Kept kept) const {
    Shared& s = shared();
    const float top_p = s.how.top_p;
    const int top_k = s.how.top_k;
    const auto wanted = [&](uint64_t all) {
      return kWeights ? top_p_mass(all, top_p) : static_cast<uint64_t>(top_k);
    };
    if (kept.n > 0) return {{}, find_end<kWeights>(kept.n, wanted)};
    const float bin_scale = s.row.bin_scale;
    const auto by_distance = [&](float logit, int place) {
      const int bin = min(kBins - 1, static_cast<int>((highest - logit) * bin_scale));
      return keeps(kept.cut, logit, place) ? bin : -1;
    };
    fill_bins<kWeights>(by_distance);
    uint64_t target;
    const Place place = find_bin<kWeights>(wanted, target);
    if (place.bin == kBins) return kept;
    const auto up_to_bin = [&](float logit, int i) {
      return static_cast<unsigned>(by_distance(logit, i)) <= static_cast<unsigned>(place.bin);
    };
    int count = gather(0, up_to_bin);
    if (count <= kMostSorted) {
      sort(count);
      return {{}, find_end<kWeights>(count, [&](uint64_t) { return target; })};
    }
    target -= place.before;
    const auto in_bin = [&](float logit, int i) { return by_distance(logit, i) == place.bin; };
    count = gather_bin<kWeights>(in_bin, target);
    sort(count);
    const int end = find_end<kWeights>(count, [&](uint64_t) { return target; });
    const uint64_t last = s.sorted[end - 1];
    return {{logit_of(last), id_of(last) - static_cast<int>(begin)}, 0};
  }

  // Puts the block's part of the row, with its mask, biases and penalties, where for_each() finds
  // it. Ends with a barrier of the block.
  __device__ void load() const {
    Shared& s = shared();
    const SampleArgs& args = p.args;
    float* const from = far;
    float* const x = kInShared ? shared_logits() : from;
    const int t = threadIdx.x;
    if constexpr (kInShared) {
      const bool aligned = reinterpret_cast<uintptr_t>(from) % 16 == 0;
      const int vectors = aligned ? n / 4 : 0;
      for (int v = t; v < vectors; v += kThreads) {
        copy_async16(shared_address(x + 4 * v), from + 4 * v);
      }
      for (int i = 4 * vectors + t; i < n; i += kThreads) {
        copy_async4(shared_address(x + i), from + i);
      }
      commit_copies();
      if (t < 3 && n + t < (n + 3) / 4 * 4) x[n + t] = -INFINITY;
    }
    constexpr int kWords = sizeof(SampleRow) / sizeof(uint32_t);
    if (t < kWords) {
      reinterpret_cast<uint32_t*>(&s.how)[t] =
          reinterpret_cast<const uint32_t*>(args.rows + blockIdx.y)[t];
    }
    wait_copies<0>();
    __syncthreads();
    for (int64_t i = t; i < args.n_excluded; i += kThreads) {
      const uint32_t place = static_cast<uint32_t>(args.excluded[i]) - begin;
      if (place < static_cast<uint32_t>(n)) x[place] = -INFINITY;
    }
    if (args.n_excluded > 0) __syncthreads();
    const SampleRow& how = s.how;
    if (how.mask >= 0) {
      // The block begins with a whole word, as it has a multiple of kThreads logits.
      const uint32_t* mask = args.masks + how.mask * mask_words(args.n) + begin / 32;
#pragma unroll 4
      for (int i = t; i < n; i += kThreads) {
        if ((mask[i / 32] >> (i % 32) & 1) == 0) x[i] = -INFINITY;
      }
      __syncthreads();
    }
    for (int i = t; i < how.n_biases; i += kThreads) {
      const TokenValue bias = args.lists[how.biases_begin + i];
      const uint32_t place = static_cast<uint32_t>(bias.id) - begin;
      if (place < static_cast<uint32_t>(n)) x[place] += bias.value;
    }
    if (how.n_biases > 0) __syncthreads();
#pragma unroll 4
    for (int i = t; i < how.n_seen; i += kThreads) {
      const TokenValue seen = args.lists[how.seen_begin + i];
      const uint32_t place = static_cast<uint32_t>(seen.id) - begin;
      if (place < static_cast<uint32_t>(n)) x[place] = penalised(x[place], seen.value, how);
    }
    if (how.n_seen > 0) __syncthreads();
  }

  __device__ Extremes find_extremes() const {
    float best = -INFINITY, least = INFINITY;
    int at = 0;
    bool broken = false;
    for_each([&](float logit, int place) {
      broken = broken || !(logit < INFINITY);
      if (logit > best) {
        best = logit;
        at = place;
      }
      if (logit > -INFINITY) least = fminf(least, logit);
    });
    Extremes mine = no_extremes();
    mine.broken = broken;
    if (best > -INFINITY) {
      mine.highest = rank(best, at);
      mine.lowest = rank_of(least, 0);
    }
    return merge_extremes(mine);
  }

  // The token into which the drawn number falls, of those up to the cut.
  __device__ __forceinline__ void draw_from_row(Cut cut) const {
    Shared& s = shared();
    const float most = s.how.most_exponent;
    const auto weight = [&](float logit, int place) -> uint64_t {
      const float x = exponent(logit);
      const uint64_t w = sample_weight(x);
      return x <= most && keeps(cut, logit, place) ? w : 0;
    };
    const int warp = threadIdx.x / kWarp;
    const int lane = threadIdx.x % kWarp;
    const int chunk = static_cast<int>(p.per_block / kWarps);
    const int end = min((n + 3) / 4, (warp + 1) * chunk / 4);
    uint64_t mass = 0;
#pragma unroll 2
    for (int v = warp * chunk / 4 + lane; v < end; v += kWarp) {
      const float4 x = four(v);
      mass += weight(x.x, 4 * v) + weight(x.y, 4 * v + 1) + weight(x.z, 4 * v + 2) +
              weight(x.w, 4 * v + 3);
    }
    mass = __shfl_sync(kAllLanes, warp_scan(mass, lane), kWarp - 1);
    if (lane == 0) s.warp_mass[warp] = mass;
    sync_cluster();
    const uint64_t mine = warp < kBlocks ? in_block(s.warp_mass, warp)[lane] : 0;  // of that block
    const Scan sums = block_scan(mine);
    const uint64_t drawn = upper_product(s.how.random, sums.total);
    const uint64_t before = sums.up_to - mine;
    if (before <= drawn && drawn < sums.up_to) {
      s.found[0] = threadIdx.x;
      s.found[1] = drawn - before;
    }
    __syncthreads();
    if (static_cast<int>(s.found[0]) / kWarps != block()) return;
    const int first = static_cast<int>(s.found[0]) % kWarps * chunk;
    uint64_t left = s.found[1];
    for (int base = 0; base < chunk; base += kThreads) {
      const int i = first + base + threadIdx.x;
      uint64_t w = 0;
      if (base + threadIdx.x < chunk && i < n) {
        w = weight(kInShared ? shared_logits()[i] : far[i], i);
      }
      const Scan part = block_scan(w);
      if (part.up_to - w <= left && left < part.up_to) {
        p.args.out[blockIdx.y] = static_cast<int32_t>(begin) + i;
      }
      if (left < part.total) break;
      left -= part.total;
    }
  }

  // The same of the first `count` of `sorted`.
  __device__ __forceinline__ void draw_from_list(int count) const {
    Shared& s = shared();
    const auto turned = [](uint64_t rank) { return rank << 32 | rank >> 32; };  // by id
    const int t = threadIdx.x;
    __syncthreads();
    if (t < count) s.sorted[t] = turned(s.sorted[t]);
    sort(count);
    const uint64_t rank = t < count ? turned(s.sorted[t]) : 0;
    const float x = exponent(logit_of(rank));
    const uint64_t w = t < count && x <= s.how.most_exponent ? sample_weight(x) : 0;
    const Scan sums = block_scan(w);
    const uint64_t drawn = upper_product(s.how.random, sums.total);
    if (sums.up_to - w <= drawn && drawn < sums.up_to) p.args.out[blockIdx.y] = id_of(rank);
  }

  __device__ void run() {
    Shared& s = shared();
    load();
    const Extremes extremes = find_extremes();
    const SampleRow& how = s.how;
    if (how.scale > 0 && extremes.broken == 0 && extremes.highest > 0) {
      if (threadIdx.x == 0) {
        const float best = logit_of(extremes.highest);
        const float range = fminf(best - logit_of(extremes.lowest), kNoWeight / how.scale);
        s.row = {best, kBins / range};
      }
      __syncthreads();
      Kept kept{{-INFINITY, 0x7fffffff}, 0};
      if (how.top_k > 0 && how.top_k < p.args.n) kept = call_keep_best<false>(p, kept);
      if (how.top_p < 1) kept = call_keep_best<true>(p, kept);
      if (kept.n == 0) {
        call_draw_from_row(p, kept.cut);
      } else if (block() == 0) {
        call_draw_from_list(p, kept.n);
      }
    } else if (block() == 0 && threadIdx.x == 0) {
      p.args.out[blockIdx.y] = extremes.broken != 0    ? kBrokenLogits
                               : extremes.highest == 0 ? kNoFiniteLogit
                                                       : id_of(extremes.highest);
    }
    sync_cluster();  // nobody may end while others read its shared memory
  }
};

// The blocks whose y is r sample row r.
template <int kBlocks, bool kInShared>
__global__ void __launch_bounds__(kThreads, 1)
    sample_kernel(const __grid_constant__ SampleParams p) {
  start_kernel();
  RowSampling<kBlocks, kInShared>(p).run();
}

template <int kBlocks>
int64_t part_of_block(int64_t n) {
  return int64_t{blocks_for(n, int64_t{kBlocks} * kThreads)} * kThreads;
}
size_t shared_bytes(int64_t per_block) {
  return sizeof(Shared) + static_cast<size_t>(per_block) * sizeof(float);
}

template <int kBlocks, bool kInShared>
void launch_rows(const SampleArgs& args, cudaStream_t stream) {
  constexpr auto kKernel = sample_kernel<kBlocks, kInShared>;
  allow_shared<kKernel>("sample: shared memory", device_info().max_shared_bytes);
  const int64_t per_block = part_of_block<kBlocks>(args.n);
  launch("sample", kKernel,
         {dim3(kBlocks, static_cast<unsigned>(args.n_rows)), dim3(kThreads),
          kInShared ? shared_bytes(per_block) : sizeof(Shared), kBlocks},
         stream, SampleParams{args, per_block});
}

template <int kBlocks>
void launch_blocks(const SampleArgs& args, cudaStream_t stream) {
  const bool fits = shared_bytes(part_of_block<kBlocks>(args.n)) <=
                    static_cast<size_t>(device_info().max_shared_bytes);
  if (fits) return launch_rows<kBlocks, true>(args, stream);
  launch_rows<kBlocks, false>(args, stream);
}

constexpr int kBlocks = 8;  // the most of a cluster that every GPU with clusters can run
constexpr int kManyBlocks = 16;
constexpr int64_t kFewRows = 4;  // more would wait for each other's places on the H100

// Whether the GPU runs kManyBlocks as a cluster.
bool has_large_clusters() {
  static PerDevice<bool> can;
  return can.get([](int) {
    constexpr auto kKernel = sample_kernel<kManyBlocks, true>;
    const int bytes = device_info().max_shared_bytes;
    cudaLaunchAttribute cluster;
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim = {kManyBlocks, 1, 1};
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(kManyBlocks);
    config.blockDim = dim3(kThreads);
    config.dynamicSmemBytes = static_cast<size_t>(bytes);
    config.attrs = &cluster;
    config.numAttrs = 1;
    int n = 0;
    const bool asked = cudaFuncSetAttribute(kKernel, cudaFuncAttributeNonPortableClusterSizeAllowed,
                                            1) == cudaSuccess &&
                       cudaFuncSetAttribute(kKernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                            bytes) == cudaSuccess &&
                       cudaOccupancyMaxActiveClusters(&n, kKernel, &config) == cudaSuccess;
    if (!asked) cudaGetLastError();
    return asked && n >= kFewRows;
  });
}

}  // namespace

void sample(const SampleArgs& args, cudaStream_t stream) {
  if (device_info().code < 90) return launch_blocks<1>(args, stream);
  const int64_t part = part_of_block<kManyBlocks>(args.n);
  if (args.n_rows <= kFewRows && has_large_clusters() &&
      shared_bytes(part) <= static_cast<size_t>(device_info().max_shared_bytes)) {
    return launch_rows<kManyBlocks, true>(args, stream);
  }
  launch_blocks<kBlocks>(args, stream);
}

}  // namespace tq::cuda
