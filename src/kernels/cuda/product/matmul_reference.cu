// Products in plain loops: any rotated format and group, exact or int8 activations. A warp computes
// one output; slow and simple.
#include "kernels/cuda/codebooks.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/product/matmul.h"

namespace tq::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kBlockTokens = 8;

struct RowSum {
  TileValues values;

  // Lanes take every 32nd input.
  __device__ float exact(int64_t row, const float* x, int lane) const {
    float sum = 0;
    const TileMatrix& matrix = values.matrix;
    for (int64_t i = lane; i < matrix.in_padded; i += kWarp) {
      sum = fmaf(matrix.gain(row, i) * values.centroid(row, i), x[i], sum);
    }
    return warp_sum(sum);
  }
  // Integer sums over a group are exact; groups are added in ascending order.
  __device__ float quantized(int64_t row, const int8_t* q8, const float* scale, int lane) const {
    float sum = 0;
    const TileMatrix& matrix = values.matrix;
    for (int64_t first = 0; first < matrix.in_padded; first += matrix.group) {
      int dot = 0;
      for (int64_t i = first + lane; i < first + matrix.group; i += kWarp) {
        dot += values.integer(row, i) * q8[i];
      }
      dot = __reduce_add_sync(kAllLanes, dot);
      sum += static_cast<float>(dot) * (matrix.gain(row, first) * scale[first / matrix.group]);
    }
    return sum * values.book.unit;
  }
};

// Block (rows, item): a warp a row, one token after the other.
__global__ void matmul_reference_kernel(const MatmulParams p, int kind,
                                        const __grid_constant__ CodebookTable book) {
  start_kernel();
  __shared__ float centroids[32];
  if (threadIdx.x < 32) centroids[threadIdx.x] = book.centroids[threadIdx.x];
  __syncthreads();
  const Work work = find_work(p.work, static_cast<int>(blockIdx.y), kBlockTokens);
  const int64_t row = int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  if (row >= p.weight.rows) return;
  const int lane = threadIdx.x % kWarp;
  const int64_t in = p.weight.in_padded;
  for (int t = 0; t < work.tokens; ++t) {
    const RowSum sums{
        {{matrix_codes(p.work, work.matrix), kind, p.weight.group, in}, book, centroids}};
    const int64_t x_row = row_at(work.x, t);
    float sum = p.x.f32 != nullptr
                    ? sums.exact(row, p.x.f32 + x_row * in, lane)
                    : sums.quantized(row, p.x.q8 + x_row * in,
                                     p.x.q8_scale + x_row * (in / p.weight.group), lane);
    if (lane != 0) continue;
    float* out = p.out + row_at(work.out, t) * p.out_stride + row;
    if (p.bias != nullptr) sum += p.bias[row];
    *out = p.accumulate ? *out + sum : sum;
  }
}

}  // namespace

void matmul_reference(const MatmulParams& p, cudaStream_t stream) {
  const int kind = code_kind(p.weight.format);
  launch("matmul_reference", matmul_reference_kernel,
         {dim3(blocks_for(p.weight.rows, kWarps),
               static_cast<unsigned>(work_items(p.work, p.pairs, kBlockTokens))),
          dim3(kWarps * kWarp)},
         stream, p, kind, codebook_table(kind, p.weight.group));
}

}  // namespace tq::cuda
