// Products with fp32 activations that stay fp32 (--exact), of many tokens: weights of any format
// become fp32 numbers in shared memory once for 64 tokens; plain loops read them for each token.
//
// A block takes 128 rows and 64 tokens, a thread 8 x 8 of their products. The sums of a stage of 32
// inputs, in ascending order, are added to those of the stages before: rounding grows with the
// number of stages, not of inputs. An output's bits do not depend on other tokens.
#include <string_view>

#include "kernels/cuda/codebooks.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/product/matmul.h"

namespace tq::cuda {
namespace {

constexpr int kRows = 128;
constexpr int kTokens = 64;
constexpr int kThreads = kRows;  // each expands the weights of a row
constexpr int kStageIn = 32;     // inputs of a stage: groups are multiples of it
constexpr int kRowPitch = kRows + 4;
constexpr int kTokenPitch = kTokens + 4;
constexpr int kEach = 8;  // rows, and tokens, of a thread: two runs of four
static_assert(kRows * kTokens == kThreads * kEach * kEach);

// One row of weights; expand() writes 32 inputs from `first` on, kRowPitch apart, zeros behind the
// row's end.
template <typename T>
class PlainRow {
 public:
  __device__ PlainRow(const MatmulParams& p, int, const CodebookTable&, const float*,
                      const uint8_t* matrix, int64_t row)
      : row_(reinterpret_cast<const T*>(matrix) + row * p.weight.in), in_(p.weight.in) {}

  __device__ void expand(int64_t first, float* out) const {
#pragma unroll 8
    for (int k = 0; k < kStageIn; ++k) {
      out[k * kRowPitch] = first + k < in_ ? widen(row_[first + k]) : 0.0f;
    }
  }

 private:
  const T* row_;
  int64_t in_;
};

class CodedRow {
 public:
  __device__ CodedRow(const MatmulParams& p, int kind, const CodebookTable& book,
                      const float* centroids, const uint8_t* matrix, int64_t row)
      : values_{{matrix, kind, p.weight.group, p.weight.in_padded}, book, centroids}, row_(row) {}

  __device__ void expand(int64_t first, float* out) const {
    const TileMatrix& matrix = values_.matrix;
    const CodebookTable& book = values_.book;
    const float gain = matrix.gain(row_, first);
    const int in_unit = static_cast<int>(first % unit_in(matrix.group));
    const uint8_t* chunk = matrix.unit(row_, first) + in_unit / kChunkIn * chunk_bytes(matrix.kind);
    const auto index_at = [&](int k) {
      return chunk_index(matrix.kind, chunk, static_cast<int>(row_ % kTileRows),
                         in_unit % kChunkIn + k);
    };
    if (!is_window(matrix.kind)) {
      for (int k = 0; k < kStageIn; ++k) {
        const int index = index_at(k);
        const float value = book.uniform ? (book.first_value + index * book.spacing) * book.unit
                                         : values_.centroids[index];
        out[k * kRowPitch] = gain * value;
      }
      return;
    }
    const int64_t last = matrix.group - 1;  // a group is a ring
    const auto before = [&](int by) {
      return matrix.index(row_, (first & ~last) | ((first - by) & last));
    };
    int earlier = before(2), previous = before(1);
    for (int k = 0; k < kStageIn; ++k) {
      const int index = index_at(k);
      const int value = book.values[index] + book.previous[previous] + book.earlier[earlier];
      out[k * kRowPitch] = gain * (value * book.unit);
      earlier = previous;
      previous = index;
    }
  }

 private:
  TileValues values_;
  int64_t row_;
};

// Where a thread's i-th row or token is, of sixteen or eight threads side by side.
template <int kThreadsBeside>
__device__ __forceinline__ int place(int thread, int i) {
  return i / 4 * 4 * kThreadsBeside + thread * 4 + i % 4;
}

template <typename Row>
__global__ void __launch_bounds__(kThreads, 3)
    matmul_tile32_kernel(const __grid_constant__ MatmulParams p, int kind,
                         const __grid_constant__ CodebookTable book) {
  __shared__ __align__(16) float weights[kStageIn * kRowPitch];
  __shared__ __align__(16) float inputs[kStageIn * kTokenPitch];
  __shared__ float centroids[32];
  start_kernel();
  if (threadIdx.x < 32) centroids[threadIdx.x] = book.centroids[threadIdx.x];
  const Work work = find_work(p.work, static_cast<int>(blockIdx.y), kTokens);
  if (work.tokens == 0) return;
  const int64_t first_row = int64_t{blockIdx.x} * kRows;
  const Row row(p, kind, book, centroids, matrix_codes(p.work, work.matrix),
                min(first_row + threadIdx.x, p.weight.rows - 1));
  const int64_t in = p.x.in_padded;
  constexpr int kRowThreads = kRows / kEach, kTokenThreads = kTokens / kEach;
  const int row_thread = threadIdx.x % kRowThreads, token_thread = threadIdx.x / kRowThreads;
  float total[kEach][kEach] = {};
  for (int64_t first = 0; first < in; first += kStageIn) {
    __syncthreads();  // the stage before was read; at first: the centroids are there
    row.expand(first, weights + threadIdx.x);
    const int64_t k = first + threadIdx.x % kStageIn;
    for (int t = threadIdx.x / kStageIn; t < kTokens; t += kThreads / kStageIn) {
      inputs[threadIdx.x % kStageIn * kTokenPitch + t] =
          t < work.tokens && k < in ? p.x.f32[row_at(work.x, t) * in + k] : 0.0f;
    }
    __syncthreads();
    float sum[kEach][kEach] = {};
#pragma unroll 4
    for (int i = 0; i < kStageIn; ++i) {
      float w[kEach], x[kEach];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        *reinterpret_cast<float4*>(w + 4 * half) = *reinterpret_cast<const float4*>(
            weights + i * kRowPitch + place<kRowThreads>(row_thread, 4 * half));
        *reinterpret_cast<float4*>(x + 4 * half) = *reinterpret_cast<const float4*>(
            inputs + i * kTokenPitch + place<kTokenThreads>(token_thread, 4 * half));
      }
#pragma unroll
      for (int t = 0; t < kEach; ++t) {
#pragma unroll
        for (int r = 0; r < kEach; ++r) sum[t][r] = fmaf(w[r], x[t], sum[t][r]);
      }
    }
#pragma unroll
    for (int t = 0; t < kEach; ++t) {
#pragma unroll
      for (int r = 0; r < kEach; ++r) total[t][r] += sum[t][r];
    }
  }
#pragma unroll
  for (int t = 0; t < kEach; ++t) {
    const int token = place<kTokenThreads>(token_thread, t);
    if (token >= work.tokens) continue;
    float* out = p.out + row_at(work.out, token) * p.out_stride;
#pragma unroll
    for (int r = 0; r < kEach; ++r) {
      const int64_t at = first_row + place<kRowThreads>(row_thread, r);
      if (at >= p.weight.rows) continue;
      float value = total[t][r];
      if (p.bias != nullptr) value += p.bias[at];
      out[at] = p.accumulate ? out[at] + value : value;
    }
  }
}

template <typename Row>
void launch_tile32(const MatmulParams& p, cudaStream_t stream) {
  const int kind = code_kind(p.weight.format);
  launch("matmul_tile32", matmul_tile32_kernel<Row>,
         {dim3(blocks_for(p.weight.rows, kRows),
               static_cast<unsigned>(work_items(p.work, p.pairs, kTokens))),
          dim3(kThreads)},
         stream, p, kind, kind == 0 ? CodebookTable{} : codebook_table(kind, p.weight.group));
}

}  // namespace

bool tile32_supports(const MatmulParams& p) {
  return p.x.f32 != nullptr && (!is_rotated(p.weight) || p.weight.group % kStageIn == 0);
}

void matmul_tile32(const MatmulParams& p, cudaStream_t stream) {
  if (is_rotated(p.weight)) return launch_tile32<CodedRow>(p, stream);
  const std::string_view name = p.weight.traits().name;
  if (name == "f32") return launch_tile32<PlainRow<float>>(p, stream);
  if (name == "f16") return launch_tile32<PlainRow<__half>>(p, stream);
  if (name == "bf16") return launch_tile32<PlainRow<__nv_bfloat16>>(p, stream);
  fail_call("a product with weights of an unknown plain format");
}

}  // namespace tq::cuda
