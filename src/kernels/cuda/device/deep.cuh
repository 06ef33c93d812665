// Attention of a decode step over many keys of a 16-bit cache, on tensor cores: each byte of a kv
// head's keys and values is read once for all heads of its group.
//
// A team of kDimWarps warps walks over pages of 16 keys. Each of its warps has 128 dims of the keys
// and of the values (of a latent cache also 16 of the rotated ones), which it copies through a ring
// of slots of its own: no barrier stands between a copy and its use. Where there are several, they
// add up their parts of the scores in shared memory, and each computes the same weights of them.
//
// Heads come in tiles of 8. Queries are the sum of two 16-bit numbers, and so are weights: the rows
// of the first product's A operand (m16n8k16) are 8 heads' high parts, then their low parts, and
// what it leaves in a lane are the scores whose weights are the lane's B operand of the second
// product, transposed: values are A, 16 dims by 16 keys.
//
// The teams of a block, and the blocks of a cluster, have each a part of the keys; their sums are
// merged in shared memory. What several clusters leave of a row is merged by who reads it.
//
// Keys older than the step are read before the kernel before has ended, as in attention_decode.cu.
#pragma once

#include <cooperative_groups.h>

#include "kernels/cuda/device/attention_parts.cuh"
#include "kernels/cuda/device/deep_pages.cuh"
#include "kernels/cuda/device/projected_head.cuh"

namespace tq::cuda {

template <typename T>
__device__ __forceinline__ uint2 split_pair(float x, float y) {
  uint2 both;
  store_split(x, y, reinterpret_cast<T*>(&both.x), reinterpret_cast<T*>(&both.y));
  return both;
}

// Block (share and block of its cluster, kv head and tile of its heads).
template <typename T, int kDimWarps, int kTiles, bool kLatent>
__global__ void __launch_bounds__(kDeepWarps* kWarp, 1)
    attention_deep_kernel(const __grid_constant__ DeepParams p) {
  using Layout = DeepLayout<kDimWarps, kTiles, kLatent>;
  using Pages = DeepPages<T, kDimWarps, kTiles, kLatent>;
  constexpr int kSteps = Layout::kSteps;
  constexpr int kHeads = Layout::kHeads;
  constexpr int kMostTeams = kDeepWarps / kDimWarps;
  constexpr int kHeldRegisters = 64;  // of queries
  constexpr int kMostHeld = kHeldRegisters / (4 * kTiles);
  constexpr int kHeld = kSteps < kMostHeld ? kSteps : kMostHeld;
  extern __shared__ __align__(16) uint8_t deep_shared[];
  allow_next();

  const AttentionArgs& args = p.args;
  const KvLayerView& kv = args.kv;
  const int lane = threadIdx.x % kWarp;
  const int warp = threadIdx.x / kWarp;
  const int warps = blockDim.x / kWarp;
  const int teams = warps / kDimWarps;
  const int team = warp / kDimWarps;
  const int dim_warp = warp % kDimWarps;
#if __CUDA_ARCH__ >= 900
  const auto cluster = cooperative_groups::this_cluster();
  const int blocks = static_cast<int>(cluster.num_blocks());
  const int rank = static_cast<int>(cluster.block_rank());
#else
  constexpr int blocks = 1;
  constexpr int rank = 0;
#endif
  const DeepShare share = find_share(p, static_cast<int>(blockIdx.x) / blocks);
  if (share.seq < 0) return wait_for_previous();
  const int seq = share.seq;
  const int kv_head = static_cast<int>(blockIdx.y) / p.row_tiles;
  const int row_tile = static_cast<int>(blockIdx.y) % p.row_tiles;
  const int first_head = kv_head * p.group + row_tile * kHeads;
  const int rows = min(kHeads, p.group - row_tile * kHeads);
  const int last = args.batch.kv_len[seq] - 1;
  const int first = args.window > 0 ? max(0, last - static_cast<int>(args.window) + 1) : 0;
  // The team's pages.
  const int first_page = first / kKvBlockTokens;
  const int n_pages = last / kKvBlockTokens + 1 - first_page;
  const int n_teams = share.parts * blocks * teams;
  const int own = (share.part * blocks + rank) * teams + team;
  const auto page_of = [&](int i) {  // of 16 million keys nothing overflows
    return first_page + static_cast<int>(static_cast<unsigned>(n_pages) * static_cast<unsigned>(i) /
                                         static_cast<unsigned>(n_teams));
  };
  Pages pages{.kv = kv,
              .table = args.batch.block_tables + seq * args.batch.max_blocks,
              .kv_head = kv_head,
              .dim_warp = dim_warp,
              .lane = lane,
              .first = first,
              .last = last,
              .begin = page_of(own),
              .end = page_of(own + 1),
              .ring = shared_address(deep_shared) + warp * (Layout::kSlots * Layout::kSlotBytes)};
  pages.start();

  // Queries, in the order in which lanes hold them: [step of 16 dims, tile, lane] of A's four
  // registers; the newest key and value.
  uint8_t* const queries = deep_shared + Layout::ring_bytes(warps);
  uint8_t* const scores = queries + Layout::kQueryBytes;
  const int dim = static_cast<int>(kv.k_dim);
  // Of each team, then of the block: [teams + 1, kHeads].
  auto* const team_stats = reinterpret_cast<float2*>(scores + teams * Layout::kScoreBytes);
  float2* const block_stats = team_stats + teams * kHeads;
  float* const norms = reinterpret_cast<float*>(block_stats + kHeads);  // [2, dim]
  T* const made = reinterpret_cast<T*>(norms + 2 * dim);                // [2, dim]
  const bool makes = p.inputs.kind != ProjectedInputs::Kind::kNone;
  const bool has_newest = share.part == share.parts - 1 && rank == blocks - 1;
  const ProjectedHead heads{p.inputs, dim, seq, kv_head};
  const bool makes_key = makes && heads.makes_key() && has_newest;
  if (makes && warp < 2) {
    const Projected what = warp == 0 ? Projected::kQuery : Projected::kKey;
    const float* norm = heads.norm(what);
    if (norm != nullptr) fetch_floats(norm, norms + warp * dim, heads.norm_dim(), lane);
  }
  wait_for_previous();
  const auto store_query = [&](int head, int d, float x, float y) {
    const int at =
        ((d / 16 * kTiles + head / kDeepHeads) * kWarp + head % kDeepHeads * 4 + d % 8 / 2) * 16 +
        d % 16 / 8 * 8;
    *reinterpret_cast<uint2*>(queries + at) = split_pair<T>(x, y);
  };
  if (makes) {
    // The last slot of a warp's ring is not yet in use.
    float* const x = reinterpret_cast<float*>(
        deep_shared + (warp * Layout::kSlots + Layout::kSlots - 1) * Layout::kSlotBytes);
    float* const rope = x + dim;
    const int items = kHeads + (!makes_key ? 0 : heads.latent() ? 1 : 2);
    bool waited = false;
    for (int i = warp; i < items || !waited; i += warps) {
      const Projected what = i < kHeads    ? Projected::kQuery
                             : i == kHeads ? Projected::kKey
                                           : Projected::kValue;
      const bool there = i < rows || (i >= kHeads && i < items);
      if (there) heads.fetch(what, first_head + i, x, rope, lane);
      if (there || !waited) wait_fetched();
      if (!waited) __syncthreads();  // norms are there
      waited = true;
      if (there) {
        const float* weight = heads.norm(what);
        if (weight != nullptr) weight = norms + (what == Projected::kQuery ? 0 : dim);
        heads.finish(what, x, rope, weight, lane);
      }
      if (i < kHeads) {
        for (int d = 2 * lane; d < Layout::kKeyDim; d += 2 * kWarp) {
          const bool inside = there && d < dim;
          store_query(i, d, inside ? x[d] : 0.0f, inside ? x[d + 1] : 0.0f);
        }
      } else if (there) {
        heads.store(what, x, made + (i - kHeads) * dim, row_tile == 0, lane);
      }
      __syncwarp();
    }
  } else {
    for (int i = warp; i < kHeads; i += warps) {
      const float* x = args.q + (int64_t{seq} * args.n_heads + first_head + i) * dim;
#pragma unroll 4
      for (int d = 2 * lane; d < Layout::kKeyDim; d += 2 * kWarp) {
        float2 pair = {};
        if (i < rows && d < dim) pair = *reinterpret_cast<const float2*>(x + d);
        store_query(i, d, pair.x, pair.y);
      }
    }
  }
  __syncthreads();

  // Where this lane's fragments begin in a slot: 16 keys by 16 dims, as four 8 x 8 matrices.
  const uint32_t in_slot = (lane / 16 * 8 + lane % 8) * Layout::kPitch + lane / 8 % 2 * 16;
  const auto query = [&](int step, int tile) {
    // Of latent caches the last step of a warp is of the rotated dims.
    const int at = kLatent && step == kSteps - 1 ? kDimWarps * 8 + dim_warp : dim_warp * 8 + step;
    return *reinterpret_cast<const uint4*>(queries + ((at * kTiles + tile) * kWarp + lane) * 16);
  };
  uint4 held[kHeld][kTiles];
#pragma unroll
  for (int s = 0; s < kHeld; ++s) {
#pragma unroll
    for (int t = 0; t < kTiles; ++t) held[s][t] = query(s, t);
  }
  const float factor = args.softcap > 0 ? kLog2e : args.scale * kLog2e;
  float out[kWarpDims / 16][kTiles][4] = {};  // dims by heads
  float top[kTiles], sum[kTiles];  // of head lane / 4, scores * factor; own keys' weights
#pragma unroll
  for (int t = 0; t < kTiles; ++t) top[t] = -INFINITY, sum[t] = 0;

  for (int page = pages.begin; page < pages.end; ++page) {
    const int key = page * kKvBlockTokens;
    const bool newest = page == last / kKvBlockTokens;
    const auto newest_of = [&](const void* plane, int which) -> const T* {
      if (!newest) return nullptr;
      if (makes_key) return made + which * dim;
      const int64_t at = (int64_t{pages.table[page]} * kv.n_kv_heads + kv_head) * kKvBlockTokens +
                         last % kKvBlockTokens;
      return static_cast<const T*>(plane) + at * dim;
    };
    const uint32_t keys = pages.next(newest_of(kv.k, 0)) + in_slot;
    // Keys 8 n + lane % 4 * 2 and the next, of head lane / 4; the low parts of queries behind.
    constexpr int kChains = kTiles == 1 ? 2 : 1;  // products that wait for each other
    float product[kChains][2][kTiles][4] = {};
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      uint32_t b[4];
      load_matrices_at(b, keys + s * 32);
#pragma unroll
      for (int t = 0; t < kTiles; ++t) {
        const uint4 q = s < kHeld ? held[s < kHeld ? s : 0][t] : query(s, t);
        const uint32_t a[4] = {q.x, q.y, q.z, q.w};
        multiply16<T>(product[s % kChains][0][t], a, b[0], b[1]);
        multiply16<T>(product[s % kChains][1][t], a, b[2], b[3]);
      }
    }
    float2 score[2][kTiles];
#pragma unroll
    for (int n = 0; n < 2; ++n) {
#pragma unroll
      for (int t = 0; t < kTiles; ++t) {
        const float* c = product[0][n][t];
        score[n][t] = make_float2(c[0] + c[2], c[1] + c[3]);
        if (kChains > 1) {
          const float* other = product[kChains - 1][n][t];
          score[n][t].x += other[0] + other[2];
          score[n][t].y += other[1] + other[3];
        }
      }
    }
    if constexpr (kDimWarps > 1) {
      constexpr int kOfWarp = 2 * kTiles * kWarp;
      auto* const all = reinterpret_cast<float2*>(scores + team * Layout::kScoreBytes) +
                        (page - pages.begin) % 2 * (kDimWarps * kOfWarp) + lane;
#pragma unroll
      for (int n = 0; n < 2; ++n) {
#pragma unroll
        for (int t = 0; t < kTiles; ++t) {
          all[dim_warp * kOfWarp + (n * kTiles + t) * kWarp] = score[n][t];
        }
      }
      sync_warps<kDimWarps>(team + 1);
#pragma unroll
      for (int n = 0; n < 2; ++n) {
#pragma unroll
        for (int t = 0; t < kTiles; ++t) {
          float2 total = {};
#pragma unroll
          for (int w = 0; w < kDimWarps; ++w) {
            const float2 part = all[w * kOfWarp + (n * kTiles + t) * kWarp];
            total.x += part.x;
            total.y += part.y;
          }
          score[n][t] = total;
        }
      }
    }
    if (args.softcap > 0) {
#pragma unroll
      for (int n = 0; n < 2; ++n) {
#pragma unroll
        for (int t = 0; t < kTiles; ++t) {
          score[n][t].x = args.softcap * tanhf(score[n][t].x * args.scale / args.softcap);
          score[n][t].y = args.softcap * tanhf(score[n][t].y * args.scale / args.softcap);
        }
      }
    }
    const bool whole = key >= first && key + kKvBlockTokens - 1 <= last;
    bool grows = false;
    float new_top[kTiles];
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
      new_top[t] = -INFINITY;
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        float2& s = score[n][t];
        s.x *= factor;
        s.y *= factor;
        if (!whole) {
          const int at = key + 8 * n + lane % 4 * 2;
          if (at < first || at > last) s.x = -INFINITY;
          if (at + 1 < first || at + 1 > last) s.y = -INFINITY;
        }
        new_top[t] = fmaxf(new_top[t], fmaxf(s.x, s.y));
      }
      new_top[t] = fmaxf(top[t], quad_max(new_top[t]));
      grows = grows || new_top[t] > top[t];
    }
    if (__any_sync(kAllLanes, grows)) {
#pragma unroll
      for (int t = 0; t < kTiles; ++t) {
        const float before = new_top[t] == -INFINITY ? 1.0f : exp2_fast(top[t] - new_top[t]);
        sum[t] *= before;
        top[t] = new_top[t];
        const float x = __shfl_sync(kAllLanes, before, lane % 4 * 8);
        const float y = __shfl_sync(kAllLanes, before, lane % 4 * 8 + 4);
#pragma unroll
        for (int m = 0; m < kWarpDims / 16; ++m) {
          out[m][t][0] *= x, out[m][t][1] *= y;
          out[m][t][2] *= x, out[m][t][3] *= y;
        }
      }
    }
    uint32_t high[kTiles][2], low[kTiles][2];
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
      const float shift = top[t] == -INFINITY ? 0.0f : top[t];
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        const float x = exp2_fast(score[n][t].x - shift);
        const float y = exp2_fast(score[n][t].y - shift);
        sum[t] += x + y;
        const uint2 both = split_pair<T>(x, y);
        high[t][n] = both.x;
        low[t][n] = both.y;
      }
    }
    const uint32_t values = kLatent ? keys : pages.next(newest_of(kv.v, 1)) + in_slot;
#pragma unroll
    for (int m = 0; m < kWarpDims / 16; ++m) {
      uint32_t a[4];
      load_matrices_transposed_at(a, values + m * 32);
#pragma unroll
      for (int t = 0; t < kTiles; ++t) {
        multiply16<T>(out[m][t], a, high[t][0], high[t][1]);
        multiply16<T>(out[m][t], a, low[t][0], low[t][1]);
      }
    }
  }
  wait_copies<0>();
  __syncthreads();

  // Sums of the teams, [team, head, kOutPitch], where the rings were.
  float* const sums = reinterpret_cast<float*>(deep_shared);
  {
    float* const to = sums + team * (kHeads * Layout::kOutPitch) + dim_warp * kWarpDims + lane / 4;
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
      sum[t] = quad_sum(sum[t]);
      if (dim_warp == 0 && lane % 4 == 0) {
        team_stats[team * kHeads + t * kDeepHeads + lane / 4] = make_float2(top[t], sum[t]);
      }
#pragma unroll
      for (int m = 0; m < kWarpDims / 16; ++m) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          to[(t * kDeepHeads + lane % 4 * 2 + i % 2) * Layout::kOutPitch + m * 16 + i / 2 * 8] =
              out[m][t][i];
        }
      }
    }
  }
  __syncthreads();
  const auto part_weight = [](float own_top, float all_top) {
    return own_top == -INFINITY ? 0.0f : exp2_fast(own_top - all_top);
  };
  const int v_dim = static_cast<int>(kv.v_dim);
  const int64_t vector = int64_t{seq} * args.n_heads + first_head;
  for (int r = warp; r < rows; r += warps) {
    float all_top = -INFINITY, all_sum = 0, weight[kMostTeams];
#pragma unroll
    for (int w = 0; w < kMostTeams; ++w) {
      if (w < teams) all_top = fmaxf(all_top, team_stats[w * kHeads + r].x);
    }
#pragma unroll
    for (int w = 0; w < kMostTeams; ++w) {
      weight[w] = w < teams ? part_weight(team_stats[w * kHeads + r].x, all_top) : 0.0f;
      if (w < teams) all_sum = fmaf(weight[w], team_stats[w * kHeads + r].y, all_sum);
    }
    const int64_t at = (vector + r) * p.parts.n + share.part;
    if (lane == 0) {
      if (blocks > 1) {
        block_stats[r] = make_float2(all_top, all_sum);
      } else {
        p.parts.stats[at] = make_float2(all_top * kLn2, all_sum);
      }
    }
    for (int d = 4 * lane; d < v_dim; d += 4 * kWarp) {
      float* const from = sums + r * Layout::kOutPitch + d;
      float4 total = {};
#pragma unroll
      for (int w = 0; w < kMostTeams; ++w) {
        if (w >= teams) break;
        const float4 x = *reinterpret_cast<const float4*>(from + w * (kHeads * Layout::kOutPitch));
        total.x = fmaf(weight[w], x.x, total.x), total.y = fmaf(weight[w], x.y, total.y);
        total.z = fmaf(weight[w], x.z, total.z), total.w = fmaf(weight[w], x.w, total.w);
      }
      *reinterpret_cast<float4*>(blocks > 1 ? from : p.parts.values + at * v_dim + d) = total;
    }
  }
  // Parts that this sequence does not have.
  if (share.part == 0 && rank == 0) {
    const int missing = p.parts.n - share.parts;
    for (int i = threadIdx.x; i < rows * missing; i += blockDim.x) {
      const int r = i / missing;
      p.parts.stats[(vector + r) * p.parts.n + share.parts + i - r * missing] = kNoPart;
    }
  }
#if __CUDA_ARCH__ >= 900
  if (blocks == 1) return;
  cluster.sync();
  const int pieces = v_dim / 4;
  for (int i = rank * blockDim.x + threadIdx.x; i < rows * pieces; i += blocks * blockDim.x) {
    const int r = i / pieces;
    const int d = (i - r * pieces) * 4;
    float2 stats[kDeepCluster];
    float4 x[kDeepCluster];
    float all_top = -INFINITY, all_sum = 0;
#pragma unroll
    for (int b = 0; b < kDeepCluster; ++b) {
      if (b >= blocks) break;
      stats[b] = *cluster.map_shared_rank(block_stats + r, b);
      x[b] = *reinterpret_cast<const float4*>(
          cluster.map_shared_rank(sums + r * Layout::kOutPitch + d, b));
      all_top = fmaxf(all_top, stats[b].x);
    }
    float4 total = {};
#pragma unroll
    for (int b = 0; b < kDeepCluster; ++b) {
      if (b >= blocks) break;
      const float weight = part_weight(stats[b].x, all_top);
      all_sum = fmaf(weight, stats[b].y, all_sum);
      total.x = fmaf(weight, x[b].x, total.x), total.y = fmaf(weight, x[b].y, total.y);
      total.z = fmaf(weight, x[b].z, total.z), total.w = fmaf(weight, x[b].w, total.w);
    }
    const int64_t at = (vector + r) * p.parts.n + share.part;
    *reinterpret_cast<float4*>(p.parts.values + at * v_dim + d) = total;
    if (d == 0) p.parts.stats[at] = make_float2(all_top * kLn2, all_sum);
  }
  cluster.sync();  // nobody may end while others read its shared memory
#endif
}

}  // namespace tq::cuda
