// Products of bf16 weights with fp32 activations on tensor cores: an activation is the sum of three
// bf16 numbers (24 bits), each of which is multiplied exactly. For matrices whose outputs must not
// depend on rounded activations, such as routers, where tokens are many.
//
// A block takes 64 rows and 16 tokens. Sums of a stage of 64 inputs are those of the tensor cores;
// those of the highest bits are added in fp32, the others' are small.
#include "kernels/cuda/device/mma16.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/product/matmul.h"

namespace tq::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kRows = 16 * kWarps;
constexpr int kTokens = 16;
constexpr int kThreads = kWarps * kWarp;
constexpr int kStageIn = 64;  // inputs of a stage
constexpr int kStages = 4;    // of weights
constexpr int kTerms = 3;     // of an activation
constexpr int kRowBytes = kStageIn * 2;

__global__ void __launch_bounds__(kThreads)
    matmul_split_kernel(const __grid_constant__ MatmulParams p) {
  __shared__ __align__(128) uint8_t weights[kStages][kRows * kRowBytes];
  __shared__ __align__(128) uint8_t terms[2][kTerms][kTokens * kRowBytes];
  allow_next();
  const int lane = threadIdx.x % kWarp;
  const int warp = threadIdx.x / kWarp;
  const int in = static_cast<int>(p.weight.in);
  const int n_stages = (in + kStageIn - 1) / kStageIn;
  const int64_t first_row = int64_t{blockIdx.x} * kRows;
  wait_for_previous();
  const Work work = find_work(p.work, static_cast<int>(blockIdx.y), kTokens);
  if (work.tokens == 0) return;
  const auto* matrix = reinterpret_cast<const __nv_bfloat16*>(matrix_codes(p.work, work.matrix));

  // A thread copies a piece of 8 inputs of every 16th row, and splits one of a token.
  const int piece = threadIdx.x % 8;
  const int place = threadIdx.x / 8;
  static_assert(kThreads / 8 == kTokens);
  const auto copy_weights = [&](int stage) {
    const int first = stage * kStageIn + piece * 8;
    if (stage < n_stages) {
#pragma unroll
      for (int r = place; r < kRows; r += kThreads / 8) {
        const bool there = first_row + r < p.weight.rows && first < in;
        copy_async16_or_zero(shared_address(weights[stage % kStages]) + swizzled(r, piece),
                             there ? matrix + (first_row + r) * in + first : matrix, there);
      }
    }
    commit_copies();
  };
  const float* const x = p.x.f32 + row_at(work.x, min(place, work.tokens - 1)) * p.x.in_padded;
  float held[2][8];  // of the next two stages
  const auto load_x = [&](int stage, float(&to)[8]) {
    const int first = stage * kStageIn + piece * 8;
#pragma unroll
    for (int k = 0; k < 8; k += 4) {
      float4 four = {};
      if (first + k < in) four = *reinterpret_cast<const float4*>(x + first + k);
      to[k] = four.x, to[k + 1] = four.y, to[k + 2] = four.z, to[k + 3] = four.w;
    }
  };
  const auto store_terms = [&](int stage, const float(&from)[8]) {
    alignas(16) __nv_bfloat16 term[kTerms][8];
#pragma unroll
    for (int k = 0; k < 8; ++k) {
      float left = from[k];
#pragma unroll
      for (int t = 0; t < kTerms; ++t) {
        narrow(left, term[t][k]);
        left -= widen(term[t][k]);
      }
    }
#pragma unroll
    for (int t = 0; t < kTerms; ++t) {
      *reinterpret_cast<uint4*>(terms[stage % 2][t] + swizzled(place, piece)) =
          *reinterpret_cast<const uint4*>(term[t]);
    }
  };

  for (int stage = 0; stage < kStages - 1; ++stage) copy_weights(stage);
  load_x(0, held[0]);
  load_x(1, held[1]);
  float sum[kTerms][kTokens / 8][4] = {};
  const auto multiply_stage = [&](int stage, float(&x_held)[8]) {
    store_terms(stage, x_held);
    wait_copies<kStages - 2>();
    __syncthreads();
    copy_weights(stage + kStages - 1);
    load_x(stage + 2, x_held);
    float high[kTokens / 8][4] = {};
#pragma unroll
    for (int s = 0; s < kStageIn / 16; ++s) {
      uint32_t a[4];
      load_matrices(a,
                    weights[stage % kStages] + swizzled(warp * 16 + lane % 16, 2 * s + lane / 16));
#pragma unroll
      for (int t = 0; t < kTerms; ++t) {
        uint32_t b[4];
        load_matrices(
            b, terms[stage % 2][t] + swizzled(lane % 8 + lane / 16 * 8, 2 * s + lane / 8 % 2));
        auto& to = t == 0 ? high : sum[t];
        multiply16<__nv_bfloat16>(to[0], a, b[0], b[1]);
        multiply16<__nv_bfloat16>(to[1], a, b[2], b[3]);
      }
    }
#pragma unroll
    for (int n = 0; n < kTokens / 8; ++n) {
#pragma unroll
      for (int k = 0; k < 4; ++k) sum[0][n][k] += high[n][k];
    }
  };
  for (int stage = 0; stage < n_stages; stage += 2) {
    multiply_stage(stage, held[0]);
    if (stage + 1 < n_stages) multiply_stage(stage + 1, held[1]);
  }
  wait_copies<0>();
#pragma unroll
  for (int n = 0; n < kTokens / 8; ++n) {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const int64_t row = first_row + warp * 16 + lane / 4 + k / 2 * 8;
      const int token = n * 8 + lane % 4 * 2 + k % 2;
      if (row >= p.weight.rows || token >= work.tokens) continue;
      float* out = p.out + row_at(work.out, token) * p.out_stride + row;
      float total = sum[0][n][k] + (sum[1][n][k] + sum[2][n][k]);
      if (p.bias != nullptr) total += p.bias[row];
      *out = p.accumulate ? *out + total : total;
    }
  }
}

}  // namespace

bool split_supports(const MatmulParams& p) {
  return p.weight.traits().name == "bf16" && p.weight.in % 8 == 0 && p.x.f32 != nullptr &&
         p.x.in_padded % 4 == 0 && reinterpret_cast<uintptr_t>(p.x.f32) % 16 == 0;
}

void matmul_split(const MatmulParams& p, cudaStream_t stream) {
  launch("matmul_split", matmul_split_kernel,
         {dim3(blocks_for(p.weight.rows, kRows),
               static_cast<unsigned>(work_items(p.work, p.pairs, kTokens))),
          dim3(kThreads)},
         stream, p);
}

}  // namespace tq::cuda
