// The router of a decode step in one kernel: its product by a warp a row, and the choice by the
// last block to end. The logits are summed in matmul_plain's order, so that their bits are the
// same.
#include <string_view>

#include "kernels/cuda/device/route.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ops.h"

namespace tq::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int64_t kMostTokens = 8;

struct RouterParams {
  RouterArgs args;
  int64_t in;
  uint32_t* counter;
};

// kVectors: of 16 bytes, at most those of a lane in a row.
template <typename T, int kVectors>
__global__ void __launch_bounds__(kWarps* kWarp) router_kernel(const RouterParams p) {
  constexpr int kVector = 16 / sizeof(T);
  extern __shared__ float router_scratch[];
  __shared__ int chosen[kMostTokens * kMaxTopK];
  __shared__ bool is_last;
  allow_next();
  const RouteArgs& route = p.args.route;
  const int warp = threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  const int64_t row = int64_t{blockIdx.x} * kWarps + warp;
  const int64_t in = p.in;
  uint4 weights[kVectors] = {};
  if (row < route.n_experts) {  // weights do not depend on what runs before us
    const T* from = reinterpret_cast<const T*>(p.args.weight.codes) + row * in;
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      const int64_t i = (int64_t{v} * kWarp + lane) * kVector;
      if (i < in) weights[v] = *reinterpret_cast<const uint4*>(from + i);
    }
  }
  wait_for_previous();
  if (row < route.n_experts) {
    for (int64_t t = 0; t < route.tokens; ++t) {
      const float* x = p.args.x.f32 + t * in;
      float sum = 0;
#pragma unroll
      for (int v = 0; v < kVectors; ++v) {
        const int64_t i = (int64_t{v} * kWarp + lane) * kVector;
        if (i >= in) break;
        alignas(16) T w[kVector];
        *reinterpret_cast<uint4*>(w) = weights[v];
        alignas(16) float values[kVector];
#pragma unroll
        for (int k = 0; k < kVector; k += 4) {
          *reinterpret_cast<float4*>(values + k) = *reinterpret_cast<const float4*>(x + i + k);
        }
#pragma unroll
        for (int k = 0; k < kVector; ++k) sum = fmaf(widen(w[k]), values[k], sum);
      }
      sum = warp_sum(sum);
      if (lane == 0) {
        p.args.logits[t * route.n_experts + row] =
            p.args.bias != nullptr ? sum + p.args.bias[row] : sum;
      }
    }
  }
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {  // the counter is 0 again after the last block
    is_last = atomicInc(p.counter, gridDim.x - 1) == gridDim.x - 1;
  }
  __syncthreads();
  if (!is_last) return;
  __threadfence();
  for (int64_t t = warp; t < route.tokens; t += kWarps) {
    route_token(route, t, router_scratch + warp * route_floats(route), chosen + t * route.top_k,
                lane);
  }
  __syncthreads();
  number_few_pairs(route, chosen);
}

template <typename T, int kVectors>
void launch_router(const RouterParams& p, cudaStream_t stream) {
  const size_t scratch = static_cast<size_t>(kWarps * route_floats(p.args.route)) * sizeof(float);
  launch("router", router_kernel<T, kVectors>,
         {dim3(blocks_for(p.args.route.n_experts, kWarps)), dim3(kWarps * kWarp), scratch}, stream,
         p);
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

bool supports_router(const RouterArgs& args) {
  const WeightView& weight = args.weight;
  if (weight.traits().input != InputForm::kPlain) return false;
  return weight.in % 8 == 0 && weight.in <= kWidest && args.route.tokens <= kMostTokens &&
         args.route.tokens * args.route.top_k <= kVeryFewPairs &&
         kWarps * route_floats(args.route) * static_cast<int64_t>(sizeof(float)) <= kMostShared;
}

void route_tokens(const RouterArgs& args, uint32_t* counter, cudaStream_t stream) {
  if (!supports_router(args)) fail_call("a router of a shape that its kernel does not have");
  RouterParams p{args, args.weight.in, counter};
  p.args.route.logits = args.logits;
  const std::string_view name = args.weight.traits().name;
  if (name == "f32") return pick_width<float>(p, stream);
  if (name == "f16") return pick_width<__half>(p, stream);
  if (name == "bf16") return pick_width<__nv_bfloat16>(p, stream);
  fail_call("a router of an unknown plain format");
}

}  // namespace tq::cuda
