// Rows of a matrix that operators take. In all headers of this folder an operator's arguments are
// one struct of plain data, shared by every backend and by the kernels that run it, which owns
// nothing: pointers are device pointers, matrices are dense row-major, activations fp32.
#pragma once

#include <cstdint>

namespace tq {

// Which rows of a matrix an operator takes, in order: listed, or evenly spaced.
struct RowMap {
  const int32_t* rows = nullptr;  // null: row i is first + i * step
  int64_t first = 0;
  int64_t step = 1;
  int64_t operator[](int64_t i) const { return rows != nullptr ? rows[i] : first + i * step; }
};

// out[i, :] = x[rows[i], :]
struct GatherRowsArgs {
  const float* x;
  RowMap rows;
  int64_t n;
  int64_t dim;
  float* out;
  int64_t x_stride = 0;    // of the rows of x in elements; 0: dim
  int64_t out_stride = 0;  // likewise
};

}  // namespace tq
