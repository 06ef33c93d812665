// Norms, rotary embedding, activations and other memory-bound operators.
#include <algorithm>

#include "kernels/cuda/attention/coded.h"
#include "kernels/cuda/device/activate.cuh"
#include "kernels/cuda/device/block.cuh"
#include "kernels/cuda/kv_formats.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ops.h"

namespace tq::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(1024) rms_norm_kernel(const RmsNormArgs args, int64_t stride) {
  start_kernel();
  const float* x = args.x + blockIdx.x * stride;
  float* out = args.out + blockIdx.x * stride;
  double sum = 0;
  for (int64_t i = threadIdx.x; i < args.dim; i += blockDim.x) sum += double{x[i]} * x[i];
  sum = block_sum(sum);
  const auto scale =
      static_cast<float>(1.0 / sqrt(sum / static_cast<double>(args.dim) + double{args.eps}));
  for (int64_t i = threadIdx.x; i < args.dim; i += blockDim.x) {
    const float normed = x[i] * scale;
    out[i] = args.weight == nullptr ? normed : normed * args.weight[i];
  }
}

// Rows that a block holds in registers: dim is a multiple of 4, a thread has 4 elements.
__global__ void __launch_bounds__(1024)
    rms_norm_short_kernel(const RmsNormArgs args, int64_t stride) {
  allow_next();
  const int64_t i = int64_t{threadIdx.x} * 4;
  const bool mine = i < args.dim;
  float4 weight = make_float4(1, 1, 1, 1);
  if (mine && args.weight != nullptr) weight = *reinterpret_cast<const float4*>(args.weight + i);
  wait_for_previous();
  const int64_t at = blockIdx.x * stride + i;
  float4 x = {};
  if (mine) x = *reinterpret_cast<const float4*>(args.x + at);
  const float sum = block_sum(x.x * x.x + x.y * x.y + x.z * x.z + x.w * x.w);
  const float scale = 1.0f / sqrtf(sum / static_cast<float>(args.dim) + args.eps);
  if (!mine) return;
  *reinterpret_cast<float4*>(args.out + at) =
      make_float4(x.x * scale * weight.x, x.y * scale * weight.y, x.z * scale * weight.z,
                  x.w * scale * weight.w);
}

__global__ void rope_table_kernel(const RopeTableArgs args) {
  start_kernel();
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= args.tokens * args.n_pairs) return;
  const double angle = double{args.inv_freq[i % args.n_pairs]} * args.positions[i / args.n_pairs];
  double sine, cosine;
  sincos(angle, &sine, &cosine);
  args.cos[i] = static_cast<float>(cosine * double{args.scale});
  args.sin[i] = static_cast<float>(sine * double{args.scale});
}

__global__ void rope_kernel(const RopeArgs args) {
  start_kernel();
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= args.tokens * args.heads * args.n_pairs) return;
  const int64_t j = i % args.n_pairs;
  const int64_t head = i / args.n_pairs % args.heads;
  const int64_t token = i / (args.n_pairs * args.heads);
  float* x = args.x + token * args.token_stride + head * args.head_dim;
  float* first = x + (args.interleaved ? 2 * j : j);
  float* second = first + (args.interleaved ? 1 : args.n_pairs);
  const float cosine = args.cos[token * args.n_pairs + j];
  const float sine = args.sin[token * args.n_pairs + j];
  const float a = *first;
  const float b = *second;
  *first = a * cosine - b * sine;
  *second = b * cosine + a * sine;
}

template <typename T>
__global__ void kv_store_kernel(const KvStoreArgs args) {
  start_kernel();
  const KvLayerView& kv = args.kv;
  const int64_t slot = args.slots[blockIdx.x];
  const bool values = blockIdx.y == 1;
  const int64_t dim = values ? kv.v_dim : kv.k_dim;
  const float* x = (values ? args.v : args.k) + blockIdx.x * kv.n_kv_heads * dim;
  auto* plane = static_cast<T*>(values ? kv.v : kv.k);
  for (int64_t i = threadIdx.x; i < kv.n_kv_heads * dim; i += blockDim.x) {
    const int64_t page = slot / kKvBlockTokens * kv.n_kv_heads + i / dim;
    narrow(x[i], plane[(page * kKvBlockTokens + slot % kKvBlockTokens) * dim + i % dim]);
  }
}

__global__ void glu_kernel(const GluArgs args) {
  start_kernel();
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < args.n) args.out[i] = activate(args.activate, args.gate[i]) * args.up[i];
}

__global__ void scale_by_position_kernel(const ScaleByPositionArgs args) {
  start_kernel();
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= args.tokens * args.dim) return;
  const auto spans = static_cast<float>(args.positions[i / args.dim] / args.original);
  args.x[i] *= 1.0f + args.beta * log1pf(spans);
}

// A NaN stays one, which min and max would lose.
__global__ void glu_clamped_kernel(const ClampedGluArgs args) {
  start_kernel();
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= args.n) return;
  const float gate = args.gate[i] > args.limit ? args.limit : args.gate[i];
  float up = args.up[i] > args.limit ? args.limit : args.up[i];
  up = up < -args.limit ? -args.limit : up;
  args.out[i] = (up + 1.0f) * (gate / (1.0f + __expf(-args.alpha * gate)));
}

// A block is a pair.
__global__ void add_expert_bias_kernel(const ExpertBiasArgs args) {
  start_kernel();
  const int64_t pair = blockIdx.x;
  int64_t first = 0;  // the expert is in [first, last]: the last whose pairs begin at or before it
  int64_t last = args.n_experts - 1;
  while (first < last) {
    const int64_t middle = (first + last + 1) / 2;
    if (args.begin[middle] <= pair) {
      first = middle;
    } else {
      last = middle - 1;
    }
  }
  for (int64_t i = threadIdx.x; i < args.dim; i += blockDim.x) {
    args.x[pair * args.dim + i] += args.bias[first * args.dim + i];
  }
}

__global__ void add_kernel(const AddArgs args) {
  start_kernel();
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < args.n) args.out[i] = (args.a[i] + args.b[i]) * args.scale;
}

__global__ void softcap_kernel(const SoftcapArgs args) {
  start_kernel();
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < args.n) args.x[i] = args.cap * tanhf(args.x[i] / args.cap);
}

__global__ void gather_rows_kernel(const GatherRowsArgs args) {
  start_kernel();
  const int64_t x_stride = args.x_stride > 0 ? args.x_stride : args.dim;
  const int64_t out_stride = args.out_stride > 0 ? args.out_stride : args.dim;
  const float* x = args.x + row_at(args.rows, blockIdx.x) * x_stride;
  float* out = args.out + blockIdx.x * out_stride;
  for (int64_t i = threadIdx.x; i < args.dim; i += blockDim.x) out[i] = x[i];
}

// One thread an element.
template <typename Args>
void launch_flat(const char* name, void (*kernel)(Args), const Args& args, int64_t n,
                 cudaStream_t stream) {
  launch(name, kernel, {dim3(blocks_for(n, kThreads)), dim3(kThreads)}, stream, args);
}

bool is_aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

// Threads of a block that walks a row of n elements.
unsigned row_threads(int64_t n) {
  unsigned threads = 64;
  while (threads < 512 && threads * 4 < n) threads *= 2;
  return threads;
}

}  // namespace

void rms_norm(const RmsNormArgs& args, cudaStream_t stream) {
  const int64_t stride = args.stride > 0 ? args.stride : args.dim;
  if (args.dim % 4 == 0 && stride % 4 == 0 && args.dim <= 4096 && is_aligned(args.x) &&
      is_aligned(args.out) && is_aligned(args.weight)) {
    const auto threads = static_cast<unsigned>((args.dim / 4 + kWarp - 1) / kWarp * kWarp);
    launch("rms_norm", rms_norm_short_kernel,
           {dim3(static_cast<unsigned>(args.rows)), dim3(threads)}, stream, args, stride);
    return;
  }
  launch("rms_norm", rms_norm_kernel,
         {dim3(static_cast<unsigned>(args.rows)), dim3(row_threads(args.dim))}, stream, args,
         stride);
}

void rope_table(const RopeTableArgs& args, cudaStream_t stream) {
  launch_flat("rope_table", rope_table_kernel, args, args.tokens * args.n_pairs, stream);
}

void rope(const RopeArgs& args, cudaStream_t stream) {
  launch_flat("rope", rope_kernel, args, args.tokens * args.heads * args.n_pairs, stream);
}

void kv_store(const KvStoreArgs& args, cudaStream_t stream) {
  const KvLayerView& kv = args.kv;
  if (is_coded(kv.format)) return coded_store(args, stream);
  const LaunchShape shape{dim3(static_cast<unsigned>(args.tokens), kv.v == nullptr ? 1 : 2),
                          dim3(row_threads(kv.n_kv_heads * kv.k_dim))};
  with_kv_format(kv.format, [&](auto numbers) {
    using T = typename decltype(numbers)::Type;
    launch("kv_store", kv_store_kernel<T>, shape, stream, args);
  });
}

void glu(const GluArgs& args, cudaStream_t stream) {
  launch_flat("glu", glu_kernel, args, args.n, stream);
}

void scale_by_position(const ScaleByPositionArgs& args, cudaStream_t stream) {
  launch_flat("scale_by_position", scale_by_position_kernel, args, args.tokens * args.dim, stream);
}

void glu_clamped(const ClampedGluArgs& args, cudaStream_t stream) {
  launch_flat("glu_clamped", glu_clamped_kernel, args, args.n, stream);
}

void add_expert_bias(const ExpertBiasArgs& args, cudaStream_t stream) {
  launch("add_expert_bias", add_expert_bias_kernel,
         {dim3(static_cast<unsigned>(args.pairs)), dim3(row_threads(args.dim))}, stream, args);
}

void add(const AddArgs& args, cudaStream_t stream) {
  launch_flat("add", add_kernel, args, args.n, stream);
}

void softcap(const SoftcapArgs& args, cudaStream_t stream) {
  launch_flat("softcap", softcap_kernel, args, args.n, stream);
}

void gather_rows(const GatherRowsArgs& args, cudaStream_t stream) {
  launch("gather_rows", gather_rows_kernel,
         {dim3(static_cast<unsigned>(args.n)), dim3(row_threads(args.dim))}, stream, args);
}

}  // namespace tq::cuda
