// Mixture of experts: the choice of experts, the numbering of (token, expert) pairs and the
// weighted sum of what the experts return. Nothing leaves the device.
#include <algorithm>

#include "kernels/cuda/device/route.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ops.h"

namespace tq::cuda {
namespace {

// A warp a token; with kNumber one block does everything.
template <bool kNumber>
__global__ void __launch_bounds__(1024) route_kernel(const RouteArgs args) {
  extern __shared__ float route_scratch[];
  __shared__ int chosen[kWarp * kMaxTopK];
  start_kernel();
  const int warp = threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  const int64_t token = int64_t{blockIdx.x} * (blockDim.x / kWarp) + warp;
  if (token < args.tokens) {
    route_token(args, token, route_scratch + warp * route_floats(args), chosen + warp * args.top_k,
                lane);
  }
  if constexpr (kNumber) {
    __syncthreads();
    if (args.tokens * args.top_k <= kVeryFewPairs) {
      number_few_pairs(args, chosen);
    } else {
      number_pairs(args, chosen);
    }
  }
}

__global__ void __launch_bounds__(1024) number_pairs_kernel(const RouteArgs args) {
  start_kernel();
  number_pairs(args, args.out.experts);
}

__global__ void combine_kernel(const CombineArgs args) {
  start_kernel();
  const int64_t token = blockIdx.x;
  const int64_t i = int64_t{blockIdx.y} * blockDim.x + threadIdx.x;
  if (i >= args.dim) return;
  float* out = args.out + token * args.dim + i;
  float sum = args.accumulate ? *out : 0.0f;
  for (int64_t k = 0; k < args.top_k; ++k) {
    const int64_t pair = args.routing.pairs[token * args.top_k + k];
    sum += args.routing.weights[token * args.top_k + k] * args.y[pair * args.dim + i];
  }
  *out = sum;
}

}  // namespace

void route(const RouteArgs& args, cudaStream_t stream) {
  if (args.n_experts > kMaxExperts || args.top_k > args.n_experts) fail_call("too many experts");
  constexpr int64_t kShared = 35 * 1024;  // leaves room for the kernel's own arrays
  const int64_t token_bytes = route_floats(args) * static_cast<int64_t>(sizeof(float));
  const int64_t fit = std::min<int64_t>(kShared / token_bytes, 32);
  if (args.tokens <= fit) {
    launch("route", route_kernel<true>,
           {dim3(1), dim3(1024), static_cast<size_t>(args.tokens * token_bytes)}, stream, args);
    return;
  }
  const int64_t warps = std::min<int64_t>(fit, 4);
  launch("route", route_kernel<false>,
         {dim3(blocks_for(args.tokens, warps)), dim3(static_cast<unsigned>(warps * kWarp)),
          static_cast<size_t>(warps * token_bytes)},
         stream, args);
  const unsigned blocks = args.tokens * args.top_k > kFewPairs ? 32 : 1;
  launch("number_pairs", number_pairs_kernel, {dim3(blocks), dim3(1024)}, stream, args);
}

void combine(const CombineArgs& args, cudaStream_t stream) {
  constexpr int kThreads = 256;
  launch("combine", combine_kernel,
         {dim3(static_cast<unsigned>(args.tokens), blocks_for(args.dim, kThreads)), dim3(kThreads)},
         stream, args);
}

}  // namespace tq::cuda
