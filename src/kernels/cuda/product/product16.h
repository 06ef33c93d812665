// Tier::kDequant: products of 16-bit numbers. Private to kernels/cuda.
//
// Numerics. Activations become bf16 for bf16 weights and for cuBLASLt, else f16 with a power of two
// for each row, so that none overflows; codes become gain * centroid in f16 (tensor16) or bf16
// (cublaslt), with the centroids of the int8 products. Sums are fp32. Every rounding is of relative
// size 2^-9 (bf16) or 2^-12 (f16) at most, and independent of the others: outputs differ from those
// of the other tiers by about 2e-3 or 3e-4 of their norm.
#pragma once

#include "kernels/cuda/device/wide16.cuh"
#include "kernels/cuda/product/matmul.h"

namespace tq::cuda {

enum class Number16 : uint8_t { kF16, kBF16 };

// Rows as 16-bit numbers.
struct Rows16 {
  Number16 type;
  void* data;              // [rows, stride]
  int64_t stride;          // a multiple of 8
  float* scale;            // [rows], powers of two; kF16 only
  bool fragments = false;  // every 64 of them in the order of fragment_slot; kF16 only
};
// Rows first .. first + n - 1 of x's (in the order of its map), or of those listed in `rows`.
struct To16 {
  Activation x;
  int64_t first;
  int64_t n;
  int64_t in;
  Rows16 out;
};
void to16(const To16& args, cudaStream_t stream);

// Rows first_row .. first_row + n_rows - 1 (multiples of 16, or the last) of re-laid codes as bf16
// [n_rows, in_padded].
void dequantise(const WeightView& relaid, int64_t first_row, int64_t n_rows, void* out,
                cudaStream_t stream);

// One launch of device/product16.cuh.
struct Product16Call {
  Product16Params params;
  Number16 type;  // of x, and of plain weights
  int kind;       // of codes; 0: plain
  int64_t tokens_each;
  int64_t pairs;
};

// One launch of device/wide16.cuh: sm_90a, codes in groups of 64 or 128.
struct Wide16Call {
  Wide16Params params;
  int kind;
  int group;
  bool gated;
  int64_t pairs;
};

template <int kKind>
void run_product16(const Product16Call& call, cudaStream_t stream);

template <int kKind>
void run_wide16(const Wide16Call& call, cudaStream_t stream);

}  // namespace tq::cuda
