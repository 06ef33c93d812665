// How a matmul's launchers describe work to the kernels of all kinds. Private to kernels/cuda.
#pragma once

#include <algorithm>
#include <type_traits>

#include "kernels/cuda/cuda_error.h"
#include "kernels/cuda/device/work.cuh"
#include "kernels/cuda/ops.h"

namespace tq::cuda {

struct MatmulParams {
  WorkParams work;
  WeightView weight;  // sizes and format; codes are the work's
  Activation x;
  const float* bias;
  bool accumulate;
  float* out;
  int64_t out_stride;
  int64_t pairs;  // kExperts: begin[n], known on the host
};

inline MatmulParams describe(const MatmulArgs& args) {
  return {{WorkKind::kDense, 1, args.x.tokens, args.weight.codes, nullptr, nullptr, nullptr,
           args.x.rows, args.out_rows},
          args.weight,
          args.x,
          args.bias,
          args.accumulate,
          args.out,
          args.out_stride > 0 ? args.out_stride : args.weight.rows,
          0};
}

inline MatmulParams describe(const ExpertMatmulArgs& args) {
  return {{WorkKind::kExperts,
           static_cast<int>(args.weights.n),
           0,
           nullptr,
           args.weights.codes,
           args.begin,
           args.x_rows,
           {},
           {}},
          args.weights.matrix,
          args.x,
          nullptr,
          false,
          args.out,
          args.weights.matrix.rows,
          args.pairs};
}

inline MatmulParams describe(const HeadMatmulArgs& args) {
  const int64_t heads = args.weights.n;
  return {{WorkKind::kHeads,
           static_cast<int>(heads),
           args.x.tokens / heads,
           nullptr,
           args.weights.codes,
           nullptr,
           nullptr,
           {},
           {}},
          args.weights.matrix,
          args.x,
          nullptr,
          false,
          args.out,
          args.out_stride > 0 ? args.out_stride : args.weights.matrix.rows,
          0};
}

// At most this many blocks of tokens have work.
inline int64_t work_items(const WorkParams& work, int64_t pairs, int64_t block_tokens) {
  if (work.kind == WorkKind::kExperts) {
    const int64_t busy = std::min<int64_t>(work.n, pairs);
    return (pairs + busy * (block_tokens - 1)) / block_tokens;
  }
  return (work.tokens + block_tokens - 1) / block_tokens * work.n;
}

// Tokens of a matrix: on average for experts, where every expert has as many.
inline int64_t tokens_each(const MatmulParams& p) {
  if (p.work.kind != WorkKind::kExperts) return p.work.tokens;
  const int64_t busy = std::max<int64_t>(std::min<int64_t>(p.work.n, p.pairs), 1);
  return (p.pairs + busy - 1) / busy;
}

void matmul_plain(const MatmulParams& p, cudaStream_t stream);
bool split_supports(const MatmulParams& p);
void matmul_split(const MatmulParams& p, cudaStream_t stream);
bool tile32_supports(const MatmulParams& p);
void matmul_tile32(const MatmulParams& p, cudaStream_t stream);
void matmul_reference(const MatmulParams& p, cudaStream_t stream);
bool fused_supports(const WeightView& weight, const Activation& x);
void matmul_fused(const MatmulParams& p, cudaStream_t stream);
// Tier::kDequant (matmul_dequant.cu). False, and nothing was done, if cuBLASLt has no kernel.
bool tensor16_supports(const MatmulParams& p);
void matmul_tensor16(const MatmulParams& p, uint8_t* scratch, bool batch_invariant,
                     cudaStream_t stream);
// Whether the GPU has warpgroup products (wide.cuh, wide16.cuh) and the weight is of their formats.
bool has_wide_kernels(const WeightView& weight);
// Rows of no more inputs are short: what the fused kernels do for every group of sums counts.
constexpr int64_t kShortRow = 1024;
// Whether matmul_tensor16 takes the kernel of many tokens, whose bits differ; gate and up of
// experts with their activation by it.
bool suits_wide16(const MatmulParams& p);
void matmul_gated_wide16(const MatmulParams& gate, const GatedExpertsArgs& args, uint8_t* scratch,
                         cudaStream_t stream);
void matmul_gated_fused(const MatmulParams& gate, const GatedExpertsArgs& args,
                        cudaStream_t stream);
bool cublaslt_supports(const MatmulParams& p);
bool matmul_cublaslt(const MatmulParams& p, uint8_t* scratch, cudaStream_t stream);

}  // namespace tq::cuda
