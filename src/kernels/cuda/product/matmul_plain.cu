// Products with f32, f16 and bf16 weights and fp32 activations: a warp streams a few rows and
// multiplies them with up to kTokens tokens. An output is the sum over lanes of every lane's
// inputs in ascending order, whatever the batch.
#include <string_view>

#include "base/math.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/product/matmul.h"

namespace tq::cuda {
namespace {

constexpr int kWarps = 8;

// kVector inputs at a time: 16 bytes of weights, or one where rows are not aligned to that.
template <typename T, int kVector, int kRows, int kTokens>
__global__ void __launch_bounds__(kWarps* kWarp) matmul_plain_kernel(const MatmulParams p) {
  allow_next();
  if (p.work.kind == WorkKind::kDense) {  // the weights do not depend on what runs before us
    const int64_t bytes = p.weight.in * static_cast<int64_t>(sizeof(T)) * kRows;
    const int64_t warp_rows = int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
    const uint8_t* rows = p.work.codes + warp_rows * bytes;
    const int64_t left =
        p.weight.rows * p.weight.in * static_cast<int64_t>(sizeof(T)) - warp_rows * bytes;
    constexpr int64_t kAhead = 8192;
    for (int64_t i = threadIdx.x % kWarp * 128; i < min(min(bytes, kAhead), left);
         i += kWarp * 128) {
      prefetch(rows + i);
    }
  }
  wait_for_previous();
  const Work work = find_work(p.work, static_cast<int>(blockIdx.y), kTokens);
  const int64_t first_row = (int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp) * kRows;
  if (work.tokens == 0 || first_row >= p.weight.rows) return;
  const int lane = threadIdx.x % kWarp;
  const int64_t in = p.weight.in;
  const auto* weights = reinterpret_cast<const T*>(matrix_codes(p.work, work.matrix));
  const T* row[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    row[r] = weights + min(first_row + r, p.weight.rows - 1) * in;
  }
  const float* x[kTokens];
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
    x[t] = p.x.f32 + row_at(work.x, min(t, work.tokens - 1)) * p.x.in_padded;
  }
  float sum[kRows][kTokens] = {};
#pragma unroll(kRows == 1 ? 6 : 2)
  for (int64_t i = int64_t{lane} * kVector; i < in; i += kWarp * kVector) {
    alignas(16) T w[kRows][kVector];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if constexpr (kVector > 1) {
        *reinterpret_cast<uint4*>(w[r]) = __ldcs(reinterpret_cast<const uint4*>(row[r] + i));
      } else {
        w[r][0] = row[r][i];
      }
    }
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      if (t > 0 && t >= work.tokens) break;
      alignas(16) float v[kVector];
      if constexpr (kVector > 1) {
#pragma unroll
        for (int k = 0; k < kVector; k += 4) {
          *reinterpret_cast<float4*>(v + k) = *reinterpret_cast<const float4*>(x[t] + i + k);
        }
      } else {
        v[0] = x[t][i];
      }
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
#pragma unroll
        for (int k = 0; k < kVector; ++k) sum[r][t] = fmaf(widen(w[r][k]), v[k], sum[r][t]);
      }
    }
  }
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
    if (t >= work.tokens) break;
    float* out = p.out + row_at(work.out, t) * p.out_stride;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      float total = warp_sum(sum[r][t]);
      const int64_t at = first_row + r;
      if (lane != 0 || at >= p.weight.rows) continue;
      if (p.bias != nullptr) total += p.bias[at];
      out[at] = p.accumulate ? out[at] + total : total;
    }
  }
}

template <typename T, int kVector, int kRows, int kTokens>
void launch_block(const MatmulParams& p, cudaStream_t stream) {
  launch("matmul_plain", matmul_plain_kernel<T, kVector, kRows, kTokens>,
         {dim3(blocks_for(p.weight.rows, kWarps * kRows),
               static_cast<unsigned>(work_items(p.work, p.pairs, kTokens))),
          dim3(kWarps * kWarp)},
         stream, p);
}

template <typename T>
void launch_plain(const MatmulParams& p, cudaStream_t stream) {
  constexpr int kVector = 16 / sizeof(T);
  if (p.weight.in % kVector != 0 || p.x.in_padded % 4 != 0) {
    return launch_block<T, 1, 2, 4>(p, stream);
  }
  const int64_t tokens = tokens_each(p);
  if (tokens == 1) return launch_block<T, kVector, 1, 1>(p, stream);
  // Few rows: a warp each, to fill the GPU.
  const int64_t n_sms = device_info().n_sms;
  const int64_t blocks = ceil_div(p.weight.rows, kWarps * 4) * ceil_div(tokens, int64_t{4});
  if (p.weight.rows < 16 * n_sms && blocks < 2 * n_sms - n_sms / 4) {
    return launch_block<T, kVector, 1, 4>(p, stream);
  }
  if (tokens <= 4 || blocks < 4 * n_sms) return launch_block<T, kVector, 4, 4>(p, stream);
  launch_block<T, kVector, 4, 8>(p, stream);
}

}  // namespace

void matmul_plain(const MatmulParams& p, cudaStream_t stream) {
  const std::string_view name = p.weight.traits().name;
  if (name == "f32") return launch_plain<float>(p, stream);
  if (name == "f16") return launch_plain<__half>(p, stream);
  if (name == "bf16") return launch_plain<__nv_bfloat16>(p, stream);
  fail_call("a product with weights of an unknown plain format");
}

}  // namespace tq::cuda
