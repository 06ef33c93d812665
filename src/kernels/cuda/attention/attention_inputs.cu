// What lies between the projections and attention, in one pass: head norms, rotary embedding, and
// the keys' and values' way into the cache.
#include "kernels/cuda/attention/coded.h"
#include "kernels/cuda/device/heads.cuh"
#include "kernels/cuda/kv_formats.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ops.h"

namespace tq::cuda {
namespace {

constexpr int kWarps = 4;

enum class HeadKind : uint8_t { kQuery, kKey, kValue };

// A warp a head: the token's query heads, then its key heads, then its value heads.
template <typename T>
__global__ void attention_inputs_kernel(const AttentionInputsArgs args) {
  extern __shared__ float heads[];
  allow_next();
  const KvLayerView& kv = args.kv;
  const int lane = threadIdx.x % kWarp;
  const auto per_token =
      static_cast<uint32_t>(args.n_heads + (args.k == nullptr ? 0 : 2 * kv.n_kv_heads));
  const uint32_t item = blockIdx.x * kWarps + threadIdx.x / kWarp;
  if (item >= args.tokens * per_token) return wait_for_previous();
  const int64_t token = item / per_token;
  int64_t head = item % per_token;
  HeadKind kind = HeadKind::kQuery;
  if (head >= args.n_heads) {
    head -= args.n_heads;
    kind = head < kv.n_kv_heads ? HeadKind::kKey : HeadKind::kValue;
    if (kind == HeadKind::kValue) head -= kv.n_kv_heads;
  }
  const int64_t slot = kind == HeadKind::kQuery ? 0 : args.slots[token];  // copied before the step
  const int dim = static_cast<int>(kv.k_dim);
  float* x = heads + threadIdx.x / kWarp * dim;
  const float* values = args.v_is_k ? args.k : args.v;
  const float* from = kind == HeadKind::kQuery ? args.q + (token * args.n_heads + head) * dim
                                               : (kind == HeadKind::kKey ? args.k : values) +
                                                     (token * kv.n_kv_heads + head) * dim;
  wait_for_previous();
  fetch_floats(from, x, dim, lane);
  wait_fetched();
  if (kind == HeadKind::kValue) {
    if (args.v_norm) norm_head(x, dim, nullptr, args.eps, lane);
  } else {
    if (args.qk_norm) {
      norm_head(x, dim, kind == HeadKind::kQuery ? args.q_norm : args.k_norm, args.eps, lane);
    }
    rotate_head(x, static_cast<int>(args.n_pairs), args.interleaved,
                args.cos + token * args.n_pairs, args.sin + token * args.n_pairs, lane);
  }
  if (kind == HeadKind::kQuery) {
    float* out = args.q + (token * args.n_heads + head) * dim;
    for (int i = lane; i < dim; i += kWarp) out[i] = x[i];
    return;
  }
  auto* plane = static_cast<T*>(kind == HeadKind::kKey ? kv.k : kv.v);
  T* out = plane + ((slot / kKvBlockTokens * kv.n_kv_heads + head) * kKvBlockTokens +
                    slot % kKvBlockTokens) *
                       dim;
  for (int i = lane; i < dim; i += kWarp) narrow(x[i], out[i]);
}

// A warp a head of a token, then one for the token's latent.
template <typename T>
__global__ void latent_inputs_kernel(const LatentInputsArgs args) {
  extern __shared__ float heads[];
  start_kernel();
  const int lane = threadIdx.x % kWarp;
  const int64_t item = int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  if (item >= args.tokens * (args.n_heads + 1)) return;
  const int64_t token = item / (args.n_heads + 1);
  const int64_t head = item % (args.n_heads + 1);
  const auto rank = static_cast<int>(args.kv_rank);
  const auto rotated = static_cast<int>(2 * args.n_pairs);
  float* x = heads + threadIdx.x / kWarp * (rank + rotated);
  const auto rotate = [&](float* first) {
    rotate_head(first, static_cast<int>(args.n_pairs), args.interleaved,
                args.cos + token * args.n_pairs, args.sin + token * args.n_pairs, lane);
  };
  if (head < args.n_heads) {
    const int64_t vector = token * args.n_heads + head;
    const float* from = args.q + vector * (args.nope_dim + rotated) + args.nope_dim;
    fetch_floats(from, x, rotated, lane);
    wait_fetched();
    rotate(x);
    float* out = args.query + vector * (rank + rotated) + rank;
    for (int i = lane; i < rotated; i += kWarp) out[i] = x[i];
    return;
  }
  const float* from = args.latent + token * (rank + rotated);
  fetch_floats(from, x, rank + rotated, lane);
  wait_fetched();
  norm_head(x, rank, args.latent_norm, args.eps, lane);
  rotate(x + rank);
  T* out = static_cast<T*>(args.kv.k) + args.slots[token] * (rank + rotated);
  for (int i = lane; i < rank + rotated; i += kWarp) narrow(x[i], out[i]);
}

}  // namespace

void latent_inputs(const LatentInputsArgs& args, cudaStream_t stream) {
  const KvLayerView& kv = args.kv;
  if (kv.n_kv_heads != 1 || kv.v != nullptr || kv.k_dim != args.kv_rank + 2 * args.n_pairs) {
    fail_call("latent attention inputs for another cache");
  }
  const LaunchShape shape{dim3(blocks_for(args.tokens * (args.n_heads + 1), kWarps)),
                          dim3(kWarps * kWarp),
                          static_cast<size_t>(kWarps * kv.k_dim) * sizeof(float)};
  with_kv_format(kv.format, [&](auto numbers) {
    using T = typename decltype(numbers)::Type;
    launch("latent inputs", latent_inputs_kernel<T>, shape, stream, args);
  });
}

void attention_inputs(const AttentionInputsArgs& args, cudaStream_t stream) {
  const KvLayerView& kv = args.kv;
  if (is_coded(kv.format)) return coded_inputs(args, stream);
  if (kv.k_dim != kv.v_dim || kv.v == nullptr) fail_call("attention inputs of a latent cache");
  const LaunchShape shape{
      dim3(blocks_for(args.tokens * (args.n_heads + 2 * kv.n_kv_heads), kWarps)),
      dim3(kWarps * kWarp), static_cast<size_t>(kWarps * kv.k_dim) * sizeof(float)};
  with_kv_format(kv.format, [&](auto numbers) {
    using T = typename decltype(numbers)::Type;
    launch("attention inputs", attention_inputs_kernel<T>, shape, stream, args);
  });
}

}  // namespace tq::cuda
