// How attention over many keys (deep.cuh) is cut: what a block has in shared memory, a cluster's
// part of the keys, and a warp's way through its pages.
#pragma once

#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/device/mma16.cuh"

namespace tq::cuda {

constexpr int kDeepWarps = 8;    // of a block at most
constexpr int kDeepHeads = 8;    // of a tile
constexpr int kDeepCluster = 2;  // blocks at most that merge their sums in shared memory
constexpr int kWarpDims = 128;   // of a value, of a warp

struct DeepParams {
  AttentionArgs args;
  AttentionParts parts;
  ProjectedInputs inputs;
  int group;      // heads of a kv head
  int row_tiles;  // blocks that share these
  int shares;     // clusters for each kv head and row tile, about: see find_share()
};

// What a cluster has: a part of a sequence's keys.
struct DeepShare {
  int seq = -1;  // none
  int part = 0;
  int parts = 1;  // of this sequence
};

template <int kDimWarps, int kTiles, bool kLatent>
struct DeepLayout {
  static constexpr int kHeads = kTiles * kDeepHeads;
  static constexpr int kSteps = kLatent ? 9 : 8;  // of 16 dims, of a warp
  static constexpr int kKeySteps = kDimWarps * kSteps;
  static constexpr int kKeyDim = kKeySteps * 16;
  static constexpr int kValueDim = kDimWarps * kWarpDims;
  // A slot: a warp's dims of 16 keys or values. Rows are an odd number of 16 bytes apart, so that
  // eight of them are in different banks.
  static constexpr int kPitch = kSteps * 32 + 16;
  static constexpr int kSlotBytes = kKvBlockTokens * kPitch;
  static constexpr int kSlots = kLatent ? 3 : 4;
  static constexpr int kSlotsOfPage = kLatent ? 1 : 2;
  static constexpr int kQueryBytes = kKeySteps * kTiles * kWarp * 16;
  static constexpr int kScoreBytes = kDimWarps > 1 ? 2 * kDimWarps* kTiles * 2 * kWarp * 8 : 0;
  static constexpr int kOutPitch = kValueDim + 4;  // floats of a head's sums

  static __host__ __device__ constexpr int ring_bytes(int warps) {
    return warps * kSlots * kSlotBytes;
  }
  // Largest score and sum of weights, of a head.
  static __host__ __device__ constexpr int stats_bytes(int warps) {
    return (warps / kDimWarps + 1) * kHeads * 8;
  }
  // Of a block of `warps` warps. made: whether it makes heads of projections.
  static constexpr int64_t bytes(int warps, int dim, bool made) {
    const int norms = made ? dim * (2 * int{sizeof(float)} + 4) : 0;
    return ring_bytes(warps) + kQueryBytes + warps / kDimWarps * kScoreBytes + stats_bytes(warps) +
           norms;
  }
  static_assert(kHeads * kOutPitch * 4 <= ring_bytes(kDimWarps));
};

// The pages of sequence s, whose first attended key is `first`.
__device__ __forceinline__ int attended_pages(const AttentionArgs& args, int s) {
  const int last = args.batch.kv_len[s] - 1;
  const int first = args.window > 0 ? max(0, last - static_cast<int>(args.window) + 1) : 0;
  return last / kKvBlockTokens - first / kKvBlockTokens + 1;
}
// The cluster's: sequences get parts by their lengths, about p.shares in all, each at least one.
__device__ __forceinline__ DeepShare find_share(const DeepParams& p, int item) {
  const AttentionArgs& args = p.args;
  const int lane = threadIdx.x % kWarp;
  const int n_seqs = static_cast<int>(args.batch.n_seqs);
  int pages = 0;
  for (int s = lane; s < n_seqs; s += kWarp) pages += attended_pages(args, s);
#pragma unroll
  for (int step = 16; step > 0; step /= 2) pages += __shfl_xor_sync(kAllLanes, pages, step);
  const float per_page = static_cast<float>(p.shares) / static_cast<float>(pages);
  int before = 0;
  for (int base = 0; base < n_seqs; base += kWarp) {
    const int s = base + lane;
    int parts = 0;
    if (s < n_seqs) {
      const int own = attended_pages(args, s);
      parts = max(1, min(min(own, p.parts.n), __float2int_rn(static_cast<float>(own) * per_page)));
    }
    int sum = parts;
#pragma unroll
    for (int step = 1; step < kWarp; step *= 2) {
      const int lower = __shfl_up_sync(kAllLanes, sum, step);
      if (lane >= step) sum += lower;
    }
    sum += before;
    const unsigned found = __ballot_sync(kAllLanes, sum > item && sum - parts <= item);
    if (found != 0) {
      const int owner = __ffs(found) - 1;
      return {base + owner, item - __shfl_sync(kAllLanes, sum - parts, owner),
              __shfl_sync(kAllLanes, parts, owner)};
    }
    before = __shfl_sync(kAllLanes, sum, kWarp - 1);
  }
  return {};
}

// A warp's way through the pages of its team: copies of its dims through the ring.
template <typename T, int kDimWarps, int kTiles, bool kLatent>
struct DeepPages {
  using Layout = DeepLayout<kDimWarps, kTiles, kLatent>;
  static constexpr int kSlots = Layout::kSlots;

  const KvLayerView& kv;
  const int32_t* table;
  int kv_head;
  int dim_warp;
  int lane;
  int first;  // key
  int last;   // the newest, which is not copied
  int begin;  // page
  int end;
  uint32_t ring;  // shared memory
  int ids = 0;    // of the 32 pages from a multiple of 32 (after begin) on, the lane's
  int issued = 0;
  int used = 0;

  // The warp's dims of a page's keys or values, from key `key` on, to the next slot.
  __device__ __forceinline__ void copy(const void* plane, int64_t page, int key) {
    const int row_bytes = static_cast<int>(kv.k_dim * int64_t{sizeof(T)});
    const auto* from = static_cast<const uint8_t*>(plane) +
                       (page * kv.n_kv_heads + kv_head) * (kKvBlockTokens * row_bytes);
    const uint32_t to = ring + issued % kSlots * Layout::kSlotBytes;
    const auto copy_piece = [&](int row, int at, int place) {
      const bool inside = key + row >= first && key + row < last && at < row_bytes;
      copy_async16_or_zero(to + row * Layout::kPitch + place, from + row * row_bytes + at, inside);
    };
    const int piece = lane % 16 * 16;
#pragma unroll
    for (int i = 0; i < kKvBlockTokens / 2; ++i) {
      copy_piece(2 * i + lane / 16, dim_warp * (kWarpDims * 2) + piece, piece);
    }
    if constexpr (kLatent) {
      const int half = lane % 2 * 16;
      copy_piece(lane / 2, Layout::kValueDim * 2 + dim_warp * 32 + half, kWarpDims * 2 + half);
    }
  }
  __device__ __forceinline__ void issue() {
    const int page = issued / Layout::kSlotsOfPage;
    const bool keys = kLatent || issued % 2 == 0;
    if (begin + page < end) {
      if (keys && page % kWarp == 0) ids = table[min(begin + page + lane, end - 1)];
      copy(keys ? kv.k : kv.v, __shfl_sync(kAllLanes, ids, page % kWarp),
           (begin + page) * kKvBlockTokens);
    }
    commit_copies();
    ++issued;
  }
  __device__ __forceinline__ void start() {
#pragma unroll
    for (int i = 0; i < kSlots - 1; ++i) issue();
  }
  // The next slot, which has come; the one before it is refilled. newest: the vector of the newest
  // key or value, if it is in this page; it was not copied.
  __device__ __forceinline__ uint32_t next(const T* newest) {
    wait_copies<kSlots - 2>();
    __syncwarp();
    const uint32_t slot = ring + used % kSlots * Layout::kSlotBytes;
    ++used;
    issue();
    if (newest != nullptr) {
      const uint32_t row = slot + last % kKvBlockTokens * Layout::kPitch;
      const int piece = lane % 16;
      int at = dim_warp * kWarpDims + piece * 8;
      int place = piece * 16;
      if (kLatent && lane >= 16) {
        at = Layout::kValueDim + dim_warp * 16 + piece * 8;
        place += kWarpDims * 2;
      }
      if (lane < (kLatent ? 18 : 16) && at < kv.k_dim) {
        store_shared(row + place, *reinterpret_cast<const uint4*>(newest + at));
      }
      __syncwarp();
    }
    return slot;
  }
};

}  // namespace tq::cuda
