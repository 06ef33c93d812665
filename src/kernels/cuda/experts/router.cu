// The router of a decode step in one kernel: its product by a warp a row and token, and the choice
// by the last block to end; of many tokens, by the last block of each. Where few blocks hold all
// experts they are a cluster, which needs no counters. The logits are summed in matmul_plain's
// order, so that their bits are the same.
#include <cooperative_groups.h>

#include <algorithm>
#include <string_view>

#include "kernels/cuda/device/route.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ops.h"

namespace tq::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kMostTokens = 64;
// One block chooses for all tokens, a warp each.
constexpr int kFewTokens = kWarps;

struct RouterParams {
  RouterArgs args;
  int64_t in;
  uint32_t* counters;  // of all blocks, then of each token's
};

// True in the block that is the last of n to come here; the counter is 0 again then.
__device__ __forceinline__ bool is_last_of(uint32_t* counter, unsigned n) {
  __shared__ bool last;
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    last = atomicInc(counter, n - 1) == n - 1;
    __threadfence();
  }
  __syncthreads();
  return last;
}

// The lane's part of a row of weights.
template <typename T, int kVectors>
__device__ __forceinline__ void load_row(const T* from, int in, int lane,
                                         uint4 (&weights)[kVectors]) {
  constexpr int kVector = 16 / sizeof(T);
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const int i = (v * kWarp + lane) * kVector;
    weights[v] = i < in ? *reinterpret_cast<const uint4*>(from + i) : uint4{};
  }
}

// n floats, a multiple of kVector, by the whole block. Fours of them lie side by side; with 8 of a
// row to a lane the second fours lie in the second half, so that lanes read neighbours.
template <int kVector>
__device__ __forceinline__ void copy_to_shared(const float* from, float* to, int n) {
  for (int i = threadIdx.x; i < n / 4; i += blockDim.x) {
    const int place = kVector == 8 ? i % 2 * (n / 2) + i / 2 * 4 : i * 4;
    copy_async16(shared_address(to + place), from + i * 4);
  }
}

// One token's products with the warp's rows, of which `weights` are the lane's. x: as
// copy_to_shared() leaves it.
template <typename T, int kRows, int kVectors>
__device__ __forceinline__ void dot(const uint4 (&weights)[kRows][kVectors], const float* x, int in,
                                    int lane, float (&sum)[kRows]) {
  constexpr int kVector = 16 / sizeof(T);
#pragma unroll
  for (int r = 0; r < kRows; ++r) sum[r] = 0;
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const int at = v * kWarp + lane;
    if (at * kVector >= in) break;
    alignas(16) T w[kRows][kVector];
#pragma unroll
    for (int r = 0; r < kRows; ++r) *reinterpret_cast<uint4*>(w[r]) = weights[r][v];
#pragma unroll
    for (int k = 0; k < kVector; k += 4) {
      const float* from = kVector == 8 ? x + k / 4 * (in / 2) + at * 4 : x + at * 4;
      const float4 values = *reinterpret_cast<const float4*>(from);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        sum[r] = fmaf(widen(w[r][k]), values.x, sum[r]);
        sum[r] = fmaf(widen(w[r][k + 1]), values.y, sum[r]);
        sum[r] = fmaf(widen(w[r][k + 2]), values.z, sum[r]);
        sum[r] = fmaf(widen(w[r][k + 3]), values.w, sum[r]);
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) sum[r] = warp_sum(sum[r]);
}

// Block (rows, token). kVectors: of 16 bytes, at most those of a lane in a row.
template <typename T, int kVectors>
__global__ void __launch_bounds__(kWarps* kWarp)
    router_kernel(const __grid_constant__ RouterParams p) {
  extern __shared__ __align__(16) float router_scratch[];  // x, then route_token()'s
  __shared__ int chosen[kVeryFewPairs];
  allow_next();
  const RouteArgs& route = p.args.route;
  const int warp = threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  const int row = static_cast<int>(blockIdx.x) * kWarps + warp;
  const int in = static_cast<int>(p.in);
  uint4 weights[1][kVectors] = {};
  float bias = 0;
  if (row < route.n_experts) {  // weights do not depend on what runs before us
    load_row(reinterpret_cast<const T*>(p.args.weight.codes) + row * p.in, in, lane, weights[0]);
    if (p.args.bias != nullptr) bias = p.args.bias[row];
  }
  wait_for_previous();
  const int64_t token = blockIdx.y;
  copy_to_shared<16 / sizeof(T)>(p.args.x.f32 + token * p.args.x.in_padded, router_scratch, in);
  commit_copies();
  wait_copies<0>();
  __syncthreads();
  if (row < route.n_experts) {
    float sum[1];
    dot<T>(weights, router_scratch, in, lane, sum);
    if (lane == 0) {
      p.args.logits[token * route.n_experts + row] =
          p.args.bias != nullptr ? sum[0] + bias : sum[0];
    }
  }
  if (route.tokens <= kFewTokens) {
    if (!is_last_of(p.counters, gridDim.x * gridDim.y)) return;
    if (warp < route.tokens) {
      route_token(route, warp, router_scratch + warp * route_floats(route),
                  chosen + warp * route.top_k, lane);
    }
  } else {
    if (!is_last_of(p.counters + 1 + token, gridDim.x)) return;
    if (warp == 0) route_token(route, token, router_scratch, chosen, lane);
    if (!is_last_of(p.counters, gridDim.y)) return;
    const int n_pairs = static_cast<int>(route.tokens * route.top_k);
    for (int i = threadIdx.x; i < n_pairs; i += blockDim.x) chosen[i] = route.out.experts[i];
  }
  __syncthreads();
  number_few_pairs(route, chosen);
}

constexpr int kWarpRows = 2;  // in a cluster: an x from shared memory serves both
constexpr int kBlockRows = kWarps * kWarpRows;
constexpr int kMostBlocks = 8;  // of a cluster

// One cluster: a warp two experts, for all tokens; block 0 chooses.
template <typename T, int kVectors>
__global__ void __launch_bounds__(kWarps* kWarp)
    router_cluster_kernel(const __grid_constant__ RouterParams p) {
#if __CUDA_ARCH__ >= 900
  namespace cg = cooperative_groups;
  extern __shared__ __align__(16) float router_scratch[];  // x of all tokens, then the choice's
  __shared__ float logits[kFewTokens * kBlockRows * kMostBlocks];
  __shared__ int chosen[kFewTokens * kWarp];
  allow_next();
  const cg::cluster_group cluster = cg::this_cluster();
  cluster.barrier_arrive();  // block 0 must have begun before others write its shared memory
  const int warp = threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  const int in = static_cast<int>(p.in);
  const auto tokens = static_cast<int>(p.args.route.tokens);
  const auto n_experts = static_cast<int>(p.args.route.n_experts);
  const int row = static_cast<int>(blockIdx.x) * kBlockRows + warp * kWarpRows;
  uint4 weights[kWarpRows][kVectors];
  float bias[kWarpRows] = {};
#pragma unroll
  for (int r = 0; r < kWarpRows; ++r) {  // weights do not depend on what runs before us
    const int at = min(row + r, n_experts - 1);
    load_row(reinterpret_cast<const T*>(p.args.weight.codes) + at * p.in, in, lane, weights[r]);
    if (p.args.bias != nullptr) bias[r] = p.args.bias[at];
  }
  wait_for_previous();
  for (int t = 0; t < tokens; ++t) {
    copy_to_shared<16 / sizeof(T)>(p.args.x.f32 + t * p.args.x.in_padded, router_scratch + t * in,
                                   in);
  }
  commit_copies();
  wait_copies<0>();
  __syncthreads();
  cluster.barrier_wait();
  float* const gathered = cluster.map_shared_rank(logits, 0);
  for (int t = 0; t < tokens; ++t) {
    float sum[kWarpRows];
    dot<T>(weights, router_scratch + t * in, in, lane, sum);
#pragma unroll
    for (int r = 0; r < kWarpRows; ++r) {
      if (lane != 0 || row + r >= n_experts) continue;
      gathered[t * n_experts + row + r] = p.args.bias != nullptr ? sum[r] + bias[r] : sum[r];
    }
  }
  cluster.sync();
  if (blockIdx.x > 0) return;
  RouteArgs route = p.args.route;
  route.logits = logits;
  if (warp < tokens) {
    route_token(route, warp, router_scratch + warp * route_floats(route),
                chosen + warp * route.top_k, lane);
  }
  __syncthreads();
  number_few_pairs(route, chosen);
#endif
}

int64_t cluster_bytes(const RouterParams& p) {
  const RouteArgs& route = p.args.route;
  return route.tokens * std::max(p.in, route_floats(route)) * static_cast<int64_t>(sizeof(float));
}

bool fits_cluster(const RouterParams& p) {
  constexpr int64_t kStaticBytes = 8 * 1024;  // of shared memory, and more than is used
  const RouteArgs& route = p.args.route;
  return device_info().code >= 90 && route.tokens <= kFewTokens && route.top_k <= kWarp &&
         route.n_experts <= kBlockRows * kMostBlocks &&
         cluster_bytes(p) + kStaticBytes <= device_info().max_shared_bytes;
}

template <typename T, int kVectors>
void launch_cluster(const RouterParams& p, cudaStream_t stream) {
  constexpr auto kKernel = router_cluster_kernel<T, kVectors>;
  constexpr int kMost = kFewTokens * kVectors * kWarp * 16 / int{sizeof(T)} * int{sizeof(float)};
  allow_shared<kKernel>("router: shared memory", kMost);
  unsigned blocks = 1;
  while (blocks * kBlockRows < p.args.route.n_experts) blocks *= 2;
  launch("router", kKernel,
         {dim3(blocks), dim3(kWarps * kWarp), static_cast<size_t>(cluster_bytes(p)), blocks},
         stream, p);
}

template <typename T, int kVectors>
void launch_router(const RouterParams& p, cudaStream_t stream) {
  const RouteArgs& route = p.args.route;
  if (fits_cluster(p)) return launch_cluster<T, kVectors>(p, stream);
  const int64_t at_once = route.tokens <= kFewTokens ? route.tokens : 1;
  launch("router", router_kernel<T, kVectors>,
         {dim3(blocks_for(route.n_experts, kWarps), static_cast<unsigned>(route.tokens)),
          dim3(kWarps * kWarp),
          static_cast<size_t>(std::max(at_once * route_floats(route), p.in)) * sizeof(float)},
         stream, p);
}

// The rows that the instances hold: 2,048, 3,072 or 4,096 of 16 bits.
template <typename T>
void pick_width(const RouterParams& p, cudaStream_t stream) {
  constexpr int kStep = 4 * sizeof(T) / 2;
  constexpr int64_t kStepIn = kStep * kWarp * 16 / static_cast<int64_t>(sizeof(T));
  if (p.in <= 2 * kStepIn) return launch_router<T, 2 * kStep>(p, stream);
  if (p.in <= 3 * kStepIn) return launch_router<T, 3 * kStep>(p, stream);
  launch_router<T, 4 * kStep>(p, stream);
}

constexpr int64_t kWidest = 4096;
constexpr int64_t kMostShared = 32 * 1024;

}  // namespace

int64_t router_counters() { return 1 + kMostTokens; }

bool supports_router(const RouterArgs& args) {
  const WeightView& weight = args.weight;
  if (weight.traits().input != InputForm::kPlain) return false;
  return weight.in % 8 == 0 && weight.in <= kWidest && args.x.in_padded % 4 == 0 &&
         args.route.tokens <= kMostTokens &&
         args.route.tokens * args.route.top_k <= kVeryFewPairs &&
         kWarps * route_floats(args.route) * static_cast<int64_t>(sizeof(float)) <= kMostShared;
}

void route_tokens(const RouterArgs& args, uint32_t* counters, cudaStream_t stream) {
  if (!supports_router(args)) fail_call("a router of a shape that its kernel does not have");
  RouterParams p{args, args.weight.in, counters};
  p.args.route.logits = args.logits;
  const std::string_view name = args.weight.traits().name;
  if (name == "f32") return pick_width<float>(p, stream);
  if (name == "f16") return pick_width<__half>(p, stream);
  if (name == "bf16") return pick_width<__nv_bfloat16>(p, stream);
  fail_call("a router of an unknown plain format");
}

}  // namespace tq::cuda
