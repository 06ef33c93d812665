// The router of a decode step in one kernel: its product by a warp a row and token, and the choice
// by the last block to end; of many tokens, by the last block of each. The logits are summed in
// matmul_plain's order, so that their bits are the same.
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

// One token's product with the warp's row, of which `weights` are the lane's. x: in shared memory.
template <typename T, int kVectors>
__device__ __forceinline__ float dot(const uint4 (&weights)[kVectors], const float* x, int in,
                                     int lane) {
  constexpr int kVector = 16 / sizeof(T);
  float sum = 0;
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const int i = (v * kWarp + lane) * kVector;
    if (i >= in) break;
    alignas(16) T w[kVector];
    *reinterpret_cast<uint4*>(w) = weights[v];
#pragma unroll
    for (int k = 0; k < kVector; k += 4) {
      const float4 values = *reinterpret_cast<const float4*>(x + i + k);
      sum = fmaf(widen(w[k]), values.x, sum);
      sum = fmaf(widen(w[k + 1]), values.y, sum);
      sum = fmaf(widen(w[k + 2]), values.z, sum);
      sum = fmaf(widen(w[k + 3]), values.w, sum);
    }
  }
  return warp_sum(sum);
}

// Block (rows, token). kVectors: of 16 bytes, at most those of a lane in a row.
template <typename T, int kVectors>
__global__ void __launch_bounds__(kWarps* kWarp)
    router_kernel(const __grid_constant__ RouterParams p) {
  constexpr int kVector = 16 / sizeof(T);
  extern __shared__ __align__(16) float router_scratch[];  // x, then route_token()'s
  __shared__ int chosen[kVeryFewPairs];
  allow_next();
  const RouteArgs& route = p.args.route;
  const int warp = threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  const int row = static_cast<int>(blockIdx.x) * kWarps + warp;
  const int in = static_cast<int>(p.in);
  uint4 weights[kVectors] = {};
  float bias = 0;
  if (row < route.n_experts) {  // weights do not depend on what runs before us
    const T* from = reinterpret_cast<const T*>(p.args.weight.codes) + row * p.in;
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      const int i = (v * kWarp + lane) * kVector;
      if (i < in) weights[v] = *reinterpret_cast<const uint4*>(from + i);
    }
    if (p.args.bias != nullptr) bias = p.args.bias[row];
  }
  wait_for_previous();
  const int64_t token = blockIdx.y;
  const float* x = p.args.x.f32 + token * p.args.x.in_padded;
  for (int i = threadIdx.x * 4; i < in; i += kWarps * kWarp * 4) {
    copy_async16(shared_address(router_scratch + i), x + i);
  }
  commit_copies();
  wait_copies<0>();
  __syncthreads();
  if (row < route.n_experts) {
    const float sum = dot<T>(weights, router_scratch, in, lane);
    if (lane == 0) {
      p.args.logits[token * route.n_experts + row] = p.args.bias != nullptr ? sum + bias : sum;
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

template <typename T, int kVectors>
void launch_router(const RouterParams& p, cudaStream_t stream) {
  const RouteArgs& route = p.args.route;
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
