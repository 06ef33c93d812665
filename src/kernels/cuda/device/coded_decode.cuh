// Attention of a decode step over a cache of codes, on tensor cores: each byte of a kv head's keys
// and values is read once for all heads of its group.
//
// A team of kDimWarps warps walks over pages of 16 keys. Each of its warps has kDims dims of them,
// one group of the codec, whose codes it copies through a ring of slots of its own. Codes become
// f16 in registers, two at a time out of a table in shared memory, and are then fragments of
// m16n8k16 as they are: which dims a lane holds is free as long as queries and outputs agree, so a
// lane takes neighbouring ones. Gains multiply scores and weights. Otherwise as device/deep.cuh:
// queries and weights are sums of two f16 numbers, the rows of the first product are 8 heads' high
// and low parts, and its sums are the second's operand.
//
// Near pages, of f16 in the same basis, come straight from memory, while the ring fills.
#pragma once

#include <cfloat>

#include "kernels/cuda/attention/coded_decode.h"
#include "kernels/cuda/device/attention_parts.cuh"
#include "kernels/cuda/device/coded.cuh"
#include "kernels/cuda/device/coded_pages.cuh"
#include "kernels/cuda/device/mma16.cuh"

namespace tq::cuda {

// A warp's running sums: out is dims by heads, row r of tile m is
// dim r % 8 * (kDims / 8) + 2 * m + r / 8.
template <int kDims>
struct CodedSums {
  static constexpr int kTiles = kDims / 16;
  float out[kTiles][4] = {};
  float top = -INFINITY;  // of head lane / 4: scores * log2(e)
  float sum = 0;          // of the lane's own keys
};

// Where the scores of several warps' dims meet; of a team.
template <int kDimWarps>
__device__ __forceinline__ void add_up_scores(float2 (&score)[2], float2* room, int team,
                                              int dim_warp, int lane) {
  if constexpr (kDimWarps > 1) {
#pragma unroll
    for (int n = 0; n < 2; ++n) room[(dim_warp * 2 + n) * kWarp + lane] = score[n];
    sync_warps<kDimWarps>(team + 1);
#pragma unroll
    for (int n = 0; n < 2; ++n) {
      float2 total = {};
#pragma unroll
      for (int w = 0; w < kDimWarps; ++w) {
        const float2 part = room[(w * 2 + n) * kWarp + lane];
        total.x += part.x;
        total.y += part.y;
      }
      score[n] = total;
    }
  }
}

// What a bias of the keys adds to the scores of keys `key`, the next, and the two that are 8 later,
// and their cap. Out of line, as most models have neither.
__device__ __noinline__ inline float4 adjust_scores(const AttentionArgs& args, const float* factors,
                                                    int key, float4 scores) {
  float score[4] = {scores.x, scores.y, scores.z, scores.w};
  const int n = static_cast<int>(2 * args.key_bias.n_pairs);
#pragma unroll 1
  for (int k = 0; k < 4; ++k) {
    float s = k == 0 ? score[0] : k == 1 ? score[1] : k == 2 ? score[2] : score[3];
    if (args.key_bias.bias != nullptr) {
      const float* angles = args.key_bias.angles + (key + k % 2 + k / 2 * 8) * args.key_bias.stride;
      float sum = factors[n];  // the rest
      for (int j = 0; j < n; ++j) sum = fmaf(factors[j], angles[j], sum);
      s += sum;
    }
    if (args.softcap > 0) s = args.softcap * tanhf(s * args.scale / args.softcap);
    if (k == 0) score[0] = s;
    if (k == 1) score[1] = s;
    if (k == 2) score[2] = s;
    if (k == 3) score[3] = s;
  }
  return {score[0], score[1], score[2], score[3]};
}

// One page, whose scores and gains of values are there. values(m, a): the fragment of tile m.
template <int kDims, typename Values>
__device__ __forceinline__ void add_page(CodedSums<kDims>& s, const float2 (&score)[2],
                                         const float2 (&gain)[2], Values values, int lane) {
  float new_top = fmaxf(fmaxf(score[0].x, score[0].y), fmaxf(score[1].x, score[1].y));
  new_top = fmaxf(s.top, quad_max(new_top));
  if (__any_sync(kAllLanes, new_top > s.top)) {
    const float before = new_top == -INFINITY ? 1.0f : exp2_fast(s.top - new_top);
    s.sum *= before;
    s.top = new_top;
    const float x = __shfl_sync(kAllLanes, before, lane % 4 * 8);
    const float y = __shfl_sync(kAllLanes, before, lane % 4 * 8 + 4);
#pragma unroll
    for (int m = 0; m < CodedSums<kDims>::kTiles; ++m) {
      s.out[m][0] *= x, s.out[m][1] *= y;
      s.out[m][2] *= x, s.out[m][3] *= y;
    }
  }
  const float shift = s.top == -INFINITY ? 0.0f : s.top;
  uint32_t high[2], low[2];
#pragma unroll
  for (int n = 0; n < 2; ++n) {
    const float x = exp2_fast(score[n].x - shift);
    const float y = exp2_fast(score[n].y - shift);
    s.sum += x + y;
    // A key that is not seen may have any gain.
    store_split(x > 0 ? x * gain[n].x : 0.0f, y > 0 ? y * gain[n].y : 0.0f,
                reinterpret_cast<__half*>(&high[n]), reinterpret_cast<__half*>(&low[n]));
  }
#pragma unroll
  for (int m = 0; m < CodedSums<kDims>::kTiles; ++m) {
    uint32_t a[4];
    values(m, a);
    multiply16<__half>(s.out[m], a, high[0], high[1]);
    multiply16<__half>(s.out[m], a, low[0], low[1]);
  }
}

// Block (share of the keys, kv head and tile of its heads).
template <typename Format, int kDims, int kDimWarps>
__global__ void __launch_bounds__(kCodedWarps* kWarp, 1)
    coded_decode_kernel(const __grid_constant__ CodedDecodeParams p) {
  using Layout = CodedLayout<Format, kDims, kDimWarps>;
  constexpr int kSteps = kDims / 16;
  constexpr int kDim = kDims * kDimWarps;
  extern __shared__ __align__(128) uint8_t coded_shared[];
  allow_next();

  const CodedParams& coded = p.coded;
  const AttentionArgs& args = coded.args;
  const int lane = threadIdx.x % kWarp;
  const int warp = threadIdx.x / kWarp;
  const int warps = blockDim.x / kWarp;
  const int teams = warps / kDimWarps;
  const int team = warp / kDimWarps;
  const int dim_warp = warp % kDimWarps;
  const DeepShare share = find_share(p.deep, static_cast<int>(blockIdx.x));
  if (share.seq < 0) return wait_for_previous();
  const int seq = share.seq;
  const int kv_head = static_cast<int>(blockIdx.y) / p.deep.row_tiles;
  const int row_tile = static_cast<int>(blockIdx.y) % p.deep.row_tiles;
  const int first_head = kv_head * p.deep.group + row_tile * kDeepHeads;
  const int rows = min(kDeepHeads, p.deep.group - row_tile * kDeepHeads);
  const int last = args.batch.kv_len[seq] - 1;
  const KeyParts keys = key_parts(coded, near_begin_of(coded, seq), last);

  // The team's pages of codes.
  const int far_begin = keys.far_begin();
  const int first_page = far_begin / kKvBlockTokens;
  const int n_pages = far_begin < keys.tail ? (keys.tail - 1) / kKvBlockTokens + 1 - first_page : 0;
  const int n_teams = share.parts * teams;
  const int own = share.part * teams + team;
  const auto page_of = [&](int i) {
    return first_page + static_cast<int>(static_cast<unsigned>(n_pages) * static_cast<unsigned>(i) /
                                         static_cast<unsigned>(n_teams));
  };
  CodedPages<Format, kDims, kDimWarps> pages{
      .kv = args.kv,
      .table = args.batch.block_tables + seq * args.batch.max_blocks,
      .kv_head = kv_head,
      .dim_warp = dim_warp,
      .lane = lane,
      .begin = page_of(own),
      .end = page_of(own + 1),
      .ring = coded_shared + Layout::kTableBytes + warp * (Layout::kSlots * Layout::kSlotBytes)};
  // Codes older than the step are there before the kernel before has ended.
  const bool early = keys.tail <= last;
  if (early) pages.start();
  Layout::fill_tables(coded_shared, p);
  float* const queries =
      reinterpret_cast<float*>(coded_shared + Layout::kTableBytes + Layout::ring_bytes(warps));
  float2* const scores = reinterpret_cast<float2*>(queries + kDeepHeads * kDim);
  float2* const stats = scores + warps * Layout::kScoreRoom;  // [teams, kDeepHeads]
  float* const bias = reinterpret_cast<float*>(stats + teams * kDeepHeads);
  const int n_factors = static_cast<int>(2 * args.key_bias.n_pairs);
  const bool biased = args.key_bias.bias != nullptr;
  const bool unusual = biased || args.softcap > 0;
  wait_for_previous();
  if (!early) pages.start();
#pragma unroll 1
  for (int i = warp; i < kDeepHeads; i += warps) {
    float* const q = queries + i * kDim;
    const float* from = args.q + (int64_t{seq} * args.n_heads + first_head + i) * kDim;
    for (int d = lane; d < kDim; d += kWarp) q[d] = i < rows ? from[d] : 0.0f;
    __syncwarp();
    if (biased) {
      float* const factors = bias + i * (n_factors + 1);
      const float rest = fill_bias_factors(args, q, kv_head, factors, lane);
      if (lane == 0) factors[n_factors] = rest;
    }
    rotate_groups<kDims>(q, kDim, p.masks, lane);
  }
  __syncthreads();

  // The lane's dims of head lane / 4: kDims / 4 neighbours, 4 of them a step.
  uint32_t held[kSteps][4];
  {
    const float* q = queries + lane / 4 * kDim + dim_warp * kDims + lane % 4 * (kDims / 4);
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      store_split(q[4 * s], q[4 * s + 1], reinterpret_cast<__half*>(&held[s][0]),
                  reinterpret_cast<__half*>(&held[s][1]));
      store_split(q[4 * s + 2], q[4 * s + 3], reinterpret_cast<__half*>(&held[s][2]),
                  reinterpret_cast<__half*>(&held[s][3]));
    }
  }
  const float factor = args.softcap > 0 ? kLog2e : args.scale * kLog2e;
  const int room = team * kDimWarps * Layout::kScoreRoom;
  int turn = 0;
  // From products with keys to what add_page() takes.
  const auto finish = [&](float2(&score)[2], const PageKeys& seen) {
    add_up_scores<kDimWarps>(score, scores + room + (turn ^= 1) * (kDimWarps * 2 * kWarp), team,
                             dim_warp, lane);
    if (unusual) {
      const float4 all =
          adjust_scores(args, bias + lane / 4 * (n_factors + 1), seen.page_key + lane % 4 * 2,
                        {score[0].x, score[0].y, score[1].x, score[1].y});
      score[0] = {all.x, all.y};
      score[1] = {all.z, all.w};
    }
#pragma unroll
    for (int n = 0; n < 2; ++n) {
      const int at = 8 * n + lane % 4 * 2;
      score[n].x = seen.has(at) ? score[n].x * factor : -INFINITY;
      score[n].y = seen.has(at + 1) ? score[n].y * factor : -INFINITY;
    }
  };
  CodedSums<kDims> sums;

  // Near pages, dealt out from the last team on.
  if (coded.near.k != nullptr) {
    const int sink_page = keys.first / kKvBlockTokens;
    const int n_sinks =
        keys.first < keys.sinks ? (keys.sinks - 1) / kKvBlockTokens + 1 - sink_page : 0;
    const int tail_page = keys.tail_begin() / kKvBlockTokens;
    const int n_near = n_sinks + (keys.end - 1) / kKvBlockTokens + 1 - tail_page;
#pragma unroll 1
    for (int i = n_teams - 1 - own; i < n_near; i += n_teams) {
      const bool sink = i < n_sinks;
      const int page = sink ? sink_page + i : tail_page + i - n_sinks;
      const PageKeys seen{page * kKvBlockTokens, sink ? keys.first : keys.tail_begin(),
                          sink ? keys.sinks : keys.end};
      const NearPage<kDims, kDim> near(coded.near,
                                       args.batch.near_tables[seq * args.batch.max_blocks + page],
                                       kv_head, dim_warp, seen, lane);
      float2 score[2];
      near.score(held, score);
      finish(score, seen);
      constexpr float2 kOnes{1, 1};
      add_page<kDims>(sums, score, {kOnes, kOnes}, near.values(), lane);
    }
  }

#pragma unroll 1
  for (int page = pages.begin; page < pages.end; ++page) {
    const PageKeys seen{page * kKvBlockTokens, far_begin, keys.tail};
    const auto codes = pages.next(coded_shared, p.key_unit, p.value_unit);
    float2 score[2];
    codes.score(held, score);
    finish(score, seen);
    const float2 gain[2] = {codes.value_gain(0), codes.value_gain(1)};
    add_page<kDims>(sums, score, gain, codes.values(), lane);
  }
  wait_copies<0>();
  __syncthreads();

  // Sums of the teams, [team, head, kDim + 4], where the rings were.
  constexpr int kPitch = kDim + 4;
  float* const all = reinterpret_cast<float*>(coded_shared);
  sums.sum = quad_sum(sums.sum);
  if (dim_warp == 0 && lane % 4 == 0) {
    stats[team * kDeepHeads + lane / 4] = make_float2(sums.top, sums.sum);
  }
  {
    float* const to =
        all + team * (kDeepHeads * kPitch) + dim_warp * kDims + lane / 4 * (kDims / 8);
#pragma unroll
    for (int m = 0; m < CodedSums<kDims>::kTiles; ++m) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        to[(lane % 4 * 2 + i % 2) * kPitch + 2 * m + i / 2] = sums.out[m][i];
      }
    }
  }
  __syncthreads();
  const int64_t vector = int64_t{seq} * args.n_heads + first_head;
#pragma unroll 1
  for (int r = warp; r < rows; r += warps) {
    // A lane has a team's weight.
    const float2 stat = lane < teams ? stats[lane * kDeepHeads + r] : make_float2(-INFINITY, 0.0f);
    const float top = warp_max(stat.x);
    const float weight = stat.x == -INFINITY ? 0.0f : exp2_fast(stat.x - top);
    const float sum = warp_sum(stat.y == 0 ? 0.0f : weight * stat.y);
    const int64_t at = (vector + r) * p.deep.parts.n + share.part;
    // Without keys it is a part all the same (is_no_part()).
    if (lane == 0) p.deep.parts.stats[at] = make_float2(sum == 0 ? -FLT_MAX : top * kLn2, sum);
    float total[kDim / kWarp] = {};
#pragma unroll 4
    for (int w = 0; w < teams; ++w) {
      const float own_weight = __shfl_sync(kAllLanes, weight, w);
      const float* from = all + (w * kDeepHeads + r) * kPitch + lane;
#pragma unroll
      for (int d = 0; d < kDim / kWarp; ++d) {
        total[d] = fmaf(own_weight, from[d * kWarp], total[d]);
      }
    }
    float* const to = p.deep.parts.values + at * kDim + lane;
#pragma unroll
    for (int d = 0; d < kDim / kWarp; ++d) to[d * kWarp] = total[d];
  }
  // Parts that this sequence does not have.
  if (share.part == 0) {
    const int missing = p.deep.parts.n - share.parts;
    for (int i = threadIdx.x; i < rows * missing; i += blockDim.x) {
      const int r = i / missing;
      p.deep.parts.stats[(vector + r) * p.deep.parts.n + share.parts + i - r * missing] = kNoPart;
    }
  }
}

}  // namespace tq::cuda
