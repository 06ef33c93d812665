// cuBLASLt, loaded when it is first asked for: no program depends on it, and a build without its
// header has none. Private to kernels/cuda; thread safe.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace tq::cuda {

// out[t, r] (+)= sum_i x[t, i] * w[r, i], sums and out fp32. Rows of w and x begin at multiples of
// 16 bytes.
struct BlasProduct {
  bool bf16;  // what w and x are; else fp32, multiplied as such
  int64_t rows;
  int64_t tokens;
  int64_t in;
  const void* w;
  int64_t w_stride;  // of rows, in elements
  const void* x;
  int64_t x_stride;
  float* out;
  int64_t out_stride;
  bool accumulate;
  void* workspace;  // kBlasWorkspace bytes
};
constexpr size_t kBlasWorkspace = size_t{8} << 20;

// False, and nothing has been launched, if cuBLASLt has no kernel for the shape.
bool blas_multiply(const BlasProduct& product, cudaStream_t stream);

}  // namespace tq::cuda
