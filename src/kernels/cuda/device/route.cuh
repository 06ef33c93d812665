// The choice of experts by one warp a token, and the numbering of (token, expert) pairs.
#pragma once

#include "kernels/cuda/device/common.cuh"
#include "kernels/ops/experts.h"

namespace tq::cuda {

// Of a sum of chosen scores that may vanish (DeepSeek V3).
constexpr float kSmallestSum = 1e-20f;

// Orders like the values, a NaN below all of them; never 0, which marks what is taken.
__device__ inline uint32_t choice_key(float value) {
  const uint32_t bits = __float_as_uint(value);
  if (value != value) return 1;
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

// The index of the largest of n keys, the first of equals; all lanes get it.
__device__ inline int best_of(const uint32_t* keys, int n, int lane) {
  uint32_t best = 0;
  int at = 0;
  for (int i = lane; i < n; i += kWarp) {
    if (keys[i] > best) {
      best = keys[i];
      at = i;
    }
  }
  const uint32_t all = __reduce_max_sync(kAllLanes, best);
  return static_cast<int>(
      __reduce_min_sync(kAllLanes, best == all ? static_cast<uint32_t>(at) : ~0u));
}

// Makes the experts outside the best groups ineligible. sums: [n_groups] of scratch.
__device__ inline void keep_best_groups(const RouteArgs& args, float* choice, float* sums,
                                        int lane) {
  const int n_groups = static_cast<int>(args.n_groups);
  const int size = static_cast<int>(args.n_experts) / n_groups;
  for (int g = lane; g < n_groups; g += kWarp) {
    float first = -INFINITY, second = -INFINITY;
    for (int i = g * size; i < (g + 1) * size; ++i) {
      if (choice[i] > first) {
        second = first;
        first = choice[i];
      } else if (choice[i] > second) {
        second = choice[i];
      }
    }
    sums[g] = size > 1 ? first + second : first;
  }
  __syncwarp();
  // A group is kept when fewer than top_groups come before it.
  for (int g = lane; g < n_groups; g += kWarp) {
    const uint32_t mine = choice_key(sums[g]);
    int before = 0;
    for (int other = 0; other < n_groups; ++other) {
      const uint32_t key = choice_key(sums[other]);
      before += key > mine || (key == mine && other < g);
    }
    if (before < args.top_groups) continue;
    for (int i = g * size; i < (g + 1) * size; ++i) choice[i] = -INFINITY;
  }
  __syncwarp();
}

// Floats of scratch of a warp: scores, choice, sums of groups.
__host__ __device__ inline int64_t route_floats(const RouteArgs& args) {
  return 2 * args.n_experts + (args.n_groups > 1 ? args.n_groups : 0);
}

// Chooses the experts of a token by one warp that holds their scores: expert e = k * 32 + lane is
// the lane's k-th. chosen: [top_k] in shared memory.
template <int kPerLane>
__device__ __forceinline__ void choose_held(const RouteArgs& args, int64_t token, int* chosen,
                                            int lane) {
  const int n = static_cast<int>(args.n_experts);
  const float* logits = args.logits + token * n;
  float scores[kPerLane];
  uint32_t keys[kPerLane];
#pragma unroll
  for (int k = 0; k < kPerLane; ++k) {
    const int e = k * kWarp + lane;
    scores[k] = e < n ? logits[e] : -INFINITY;
  }
  if (args.score == RouteScore::kSoftmax) {
    float max = -INFINITY, sum = 0;
#pragma unroll
    for (int k = 0; k < kPerLane; ++k) max = fmaxf(max, scores[k]);
    max = warp_max(max);
#pragma unroll
    for (int k = 0; k < kPerLane; ++k) {
      if (k * kWarp + lane < n) sum += scores[k] = expf(scores[k] - max);
    }
    sum = warp_sum(sum);
#pragma unroll
    for (int k = 0; k < kPerLane; ++k) scores[k] = scores[k] / sum;
  } else {
#pragma unroll
    for (int k = 0; k < kPerLane; ++k) scores[k] = 1 / (1 + expf(-scores[k]));
  }
#pragma unroll
  for (int k = 0; k < kPerLane; ++k) {
    const int e = k * kWarp + lane;
    const float bias = args.selection_bias != nullptr && e < n ? args.selection_bias[e] : 0.0f;
    keys[k] = e < n ? choice_key(scores[k] + bias) : 0;
  }
  const int top_k = static_cast<int>(args.top_k);
  int my_expert = 0;  // of choice `lane`
  float my_score = 0, chosen_sum = 0;
  for (int choice = 0; choice < top_k; ++choice) {
    uint32_t best = 0;
    int at = 0;
    float score = 0;
#pragma unroll
    for (int k = 0; k < kPerLane; ++k) {
      if (keys[k] > best) {
        best = keys[k];
        at = k;
        score = scores[k];
      }
    }
    const uint32_t all = __reduce_max_sync(kAllLanes, best);
    const auto expert = static_cast<int>(
        __reduce_min_sync(kAllLanes, best == all ? static_cast<uint32_t>(at * kWarp + lane) : ~0u));
    score = __shfl_sync(kAllLanes, score, expert % kWarp);
    chosen_sum += score;
    if (lane == choice) {
      my_expert = expert;
      my_score = score;
    }
#pragma unroll
    for (int k = 0; k < kPerLane; ++k) {
      if (k * kWarp + lane == expert) keys[k] = 0;
    }
  }
  if (lane < top_k) {
    const float divisor = args.normalize ? fmaxf(chosen_sum, kSmallestSum) : 1.0f;
    float weight = my_score / divisor * args.scale;
    if (args.expert_scale != nullptr) weight *= args.expert_scale[my_expert];
    args.out.experts[token * top_k + lane] = my_expert;
    args.out.weights[token * top_k + lane] = weight;
    chosen[lane] = my_expert;
  }
  __syncwarp();
}

// One warp, one token. chosen: [top_k] and scratch in shared memory.
__device__ inline void route_token(const RouteArgs& args, int64_t token, float* scratch,
                                   int* chosen, int lane) {
  const int n = static_cast<int>(args.n_experts);
  if (args.n_groups <= 1 && args.top_k <= kWarp) {
    if (n <= 2 * kWarp) return choose_held<2>(args, token, chosen, lane);
    if (n <= 4 * kWarp) return choose_held<4>(args, token, chosen, lane);
    if (n <= 8 * kWarp) return choose_held<8>(args, token, chosen, lane);
  }
  const float* logits = args.logits + token * n;
  float* scores = scratch;
  float* choice = scratch + n;
  float max = -INFINITY;
  float sum = 0;
  if (args.score == RouteScore::kSoftmax) {
    for (int e = lane; e < n; e += kWarp) max = fmaxf(max, logits[e]);
    max = warp_max(max);
    for (int e = lane; e < n; e += kWarp) sum += scores[e] = expf(logits[e] - max);
    sum = warp_sum(sum);
  }
  for (int e = lane; e < n; e += kWarp) {
    scores[e] = args.score == RouteScore::kSoftmax ? scores[e] / sum : 1 / (1 + expf(-logits[e]));
    choice[e] = scores[e] + (args.selection_bias != nullptr ? args.selection_bias[e] : 0.0f);
  }
  __syncwarp();
  if (args.n_groups > 1) keep_best_groups(args, choice, scratch + 2 * n, lane);

  auto* keys = reinterpret_cast<uint32_t*>(choice);
  for (int e = lane; e < n; e += kWarp) keys[e] = choice_key(choice[e]);
  __syncwarp();
  int32_t* experts = args.out.experts + token * args.top_k;
  float* weights = args.out.weights + token * args.top_k;
  float chosen_sum = 0;
  for (int k = 0; k < args.top_k; ++k) {
    const int best = best_of(keys, n, lane);
    if (lane == 0) {
      keys[best] = 0;
      chosen[k] = best;
    }
    chosen_sum += scores[best];
    __syncwarp();
  }
  const float divisor = args.normalize ? fmaxf(chosen_sum, kSmallestSum) : 1.0f;
  for (int k = lane; k < args.top_k; k += kWarp) {
    const int expert = chosen[k];
    experts[k] = expert;
    float weight = scores[expert] / divisor * args.scale;
    if (args.expert_scale != nullptr) weight *= args.expert_scale[expert];
    weights[k] = weight;
  }
  __syncwarp();
}

constexpr int kFewPairs = 128;
constexpr int kVeryFewPairs = 512;

// number_pairs() by one block without a sort: every thread counts what comes before its expert, or
// its pair. experts: in shared memory, written before a __syncthreads().
__device__ inline void number_few_pairs(const RouteArgs& args, const int* experts) {
  const int n_pairs = static_cast<int>(args.tokens * args.top_k);
  const int n = static_cast<int>(args.n_experts);
  for (int e = threadIdx.x; e <= n; e += blockDim.x) {
    int before = 0;
#pragma unroll 8
    for (int j = 0; j < n_pairs; ++j) before += experts[j] < e;
    args.out.begin[e] = before;
  }
  for (int i = threadIdx.x; i < n_pairs; i += blockDim.x) {
    const int expert = experts[i];
    int pair = 0;
#pragma unroll 8
    for (int j = 0; j < n_pairs; ++j)
      pair += experts[j] < expert || (experts[j] == expert && j < i);
    args.out.pairs[i] = pair;
    args.out.tokens[pair] = i / static_cast<int>(args.top_k);
  }
}

// Sorts the pairs of all tokens by expert, keeping the order of tokens: every block counts all
// pairs, then numbers those of the experts that are its own.
// experts: args.out.experts or a copy.
__device__ inline void number_pairs(const RouteArgs& args, const int* experts) {
  __shared__ int begin[kMaxExperts + 1];
  const int n = static_cast<int>(args.n_experts);
  const int n_pairs = static_cast<int>(args.tokens * args.top_k);
  const int lane = threadIdx.x % kWarp;
  const int warp = threadIdx.x / kWarp;
  const int warps = blockDim.x / kWarp;
  for (int e = threadIdx.x; e <= n; e += blockDim.x) begin[e] = 0;
  __syncthreads();
  for (int i = threadIdx.x; i < n_pairs; i += blockDim.x) {
    atomicAdd(&begin[experts[i] + 1], 1);
  }
  __syncthreads();
  if (warp == 0) {  // counts to running sums
    int before = 0;
    for (int first = 1; first <= n; first += kWarp) {
      const int e = first + lane;
      int sum = e <= n ? begin[e] : 0;
#pragma unroll
      for (int step = 1; step < kWarp; step *= 2) {
        const int lower = __shfl_up_sync(kAllLanes, sum, step);
        if (lane >= step) sum += lower;
      }
      sum += before;
      if (e <= n) begin[e] = sum;
      before = __shfl_sync(kAllLanes, sum, kWarp - 1);
    }
  }
  __syncthreads();
  if (blockIdx.x == 0) {
    for (int e = threadIdx.x; e <= n; e += blockDim.x) args.out.begin[e] = begin[e];
  }
  const int top_k = static_cast<int>(args.top_k);
  const auto number = [&](int i, int pair) {
    args.out.pairs[i] = pair;
    args.out.tokens[pair] = i / top_k;
  };
  if (n_pairs <= kFewPairs) {  // a thread a pair: it counts those of its expert before it
    for (int i = threadIdx.x; i < n_pairs; i += blockDim.x) {
      const int expert = experts[i];
      int before = 0;
#pragma unroll 8
      for (int j = 0; j < i; ++j) before += experts[j] == expert;
      number(i, begin[expert] + before);
    }
    return;
  }
  // Some experts at a time: every warp takes a piece of the pairs, counts those of the experts, and
  // after the pieces before it numbers them.
  constexpr int kExperts = 4;
  __shared__ int counts[kExperts][kWarp];  // [expert][warp]
  const int piece = (n_pairs + warps * kWarp - 1) / (warps * kWarp) * kWarp;
  const int from = warp * piece;
  const int to = min(from + piece, n_pairs);
  for (int first = static_cast<int>(blockIdx.x) * kExperts; first < n;
       first += static_cast<int>(gridDim.x) * kExperts) {
    // Calls use(pair, k, lanes whose pair is of expert first + k, whether this lane's is).
    const auto for_each = [&](auto use) {
#pragma unroll 4
      for (int at = from; at < to; at += kWarp) {
        const int i = at + lane;
        const int k_mine = i < to ? experts[i] - first : -1;
#pragma unroll
        for (int k = 0; k < kExperts; ++k) {
          use(i, k, __ballot_sync(kAllLanes, k_mine == k), k_mine == k);
        }
      }
    };
    int count[kExperts] = {};
    for_each([&](int, int k, unsigned all, bool) { count[k] += __popc(all); });
#pragma unroll
    for (int k = 0; k < kExperts; ++k) {
      if (lane == 0) counts[k][warp] = count[k];
    }
    __syncthreads();
    int next[kExperts];
#pragma unroll
    for (int k = 0; k < kExperts; ++k) {
      const int before = lane < warp ? counts[k][lane] : 0;
      next[k] = begin[min(first + k, n)] + __reduce_add_sync(kAllLanes, before);
    }
    for_each([&](int i, int k, unsigned all, bool mine) {
      if (mine) number(i, next[k] + __popc(all & ((1u << lane) - 1)));
      next[k] += __popc(all);
    });
    __syncthreads();
  }
}

}  // namespace tq::cuda
