// Arguments of norms, and of what lies between two blocks of a layer; of pointers and matrices see
// rows.h.
#pragma once

#include <cstdint>

#include "kernels/ops/experts.h"
#include "kernels/ops/product.h"

namespace tq {

// out[r, :] = x[r, :] / sqrt(mean(x[r, :]^2) + eps) * weight, statistics in fp32 or better.
struct RmsNormArgs {
  const float* x;       // [rows, dim]
  const float* weight;  // [dim] or null for 1; any "1 + w" is folded in at load
  float eps;
  int64_t rows;
  int64_t dim;
  float* out;          // may equal x
  int64_t stride = 0;  // of the rows of x and out, in elements; 0: dim
};

// One addend of what a block of a layer returns: rows, or the weighted sum of a mixture's pairs
// (CombineArgs), by a norm of its own where there is a weight for it.
struct BlockResult {
  const float* x = nullptr;            // [tokens, dim], or with top_k [pairs, dim]
  int64_t top_k = 0;                   // of the mixture; 0: rows
  Routing routing{};                   // with top_k
  const float* norm_weight = nullptr;  // [dim] or null
};

constexpr int kMaxBlockResults = 2;

// residual = (residual + norm(sum of results)) * scale.
struct AddResultsArgs {
  BlockResult results[kMaxBlockResults];
  int n_results = 0;                   // 0: the residual stream stays as it is
  const float* norm_weight = nullptr;  // [dim] or null: the sum is added as it is
  float eps;
  float scale = 1;
  int64_t tokens;
  int64_t dim;
  float* residual;  // [tokens, dim]
  float* scratch;   // [2, tokens, dim]; may be written
};

// One reading of the residual stream: its rows after a norm, and those in the form a product reads.
struct NormedInput {
  const float* norm_weight;  // [dim]
  float* rows;               // [tokens, dim]
  PrepareArgs prepare;       // of `rows`
  Activation activation;     // result
};

constexpr int kMaxNormedInputs = 3;

// add_results, then the inputs of what comes next.
struct NextInputsArgs {
  AddResultsArgs add;
  NormedInput* inputs;  // [n_inputs], on the host
  int n_inputs;
};

}  // namespace tq
