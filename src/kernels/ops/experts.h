// Arguments of a mixture of experts: routing, products by expert, and their sum; of pointers and
// matrices see rows.h.
#pragma once

#include <cstdint>

#include "kernels/op_types.h"
#include "kernels/ops/product.h"

namespace tq {

// Which experts each token goes to. A (token, choice) pair has a number: pairs are sorted by
// expert, those of one expert by token, so that an expert's tokens are neighbours.
struct Routing {
  int32_t* experts;  // [tokens, top_k], best first
  float* weights;    // [tokens, top_k]
  int32_t* pairs;    // [tokens, top_k]: the pair's number
  int32_t* tokens;   // [pairs]: the pair's token
  int32_t* begin;    // [n_experts + 1]: expert e has pairs begin[e] .. begin[e + 1] - 1
};

// Chooses the top_k experts with the largest score + selection_bias (of equals the lower number).
// With n_groups > 1 only experts of the top_groups groups with the largest sums of their two best
// are eligible (DeepSeek V3). A choice weighs its score, without the bias; over the sum of the
// chosen if normalize; times scale and expert_scale.
struct RouteArgs {
  const float* logits;  // [tokens, n_experts]
  int64_t tokens;
  int64_t n_experts;  // at most kMaxExperts
  int64_t top_k;      // at most kMaxTopK
  RouteScore score;
  int64_t n_groups = 1;
  int64_t top_groups = 1;
  const float* selection_bias = nullptr;  // [n_experts] or null
  const float* expert_scale = nullptr;    // [n_experts] or null
  bool normalize = true;
  float scale = 1;
  Routing out;
};

// route() of the router's product with x.
struct RouterArgs {
  WeightView weight;  // [n_experts, in]
  Activation x;
  const float* bias;  // [n_experts] or null
  float* logits;      // [tokens, n_experts]; may be written
  RouteArgs route;    // its logits are not read
};

// out[p] = W_e x[r] for every pair p of every expert e; r is the pair's token, or the pair itself
// when x has a row for each pair.
struct ExpertMatmulArgs {
  MatrixStack weights;  // [n_experts]
  Activation x;
  const int32_t* begin;   // Routing::begin
  const int32_t* x_rows;  // Routing::tokens (none twice for an expert), or null: row p for pair p
  float* out;             // [pairs, rows]
  int64_t pairs = 0;      // begin[n_experts]; not read where that can be
};

// x[p, :] += bias[e, :] for every pair p of every expert e, in place.
struct ExpertBiasArgs {
  float* x;              // [pairs, dim]
  const float* bias;     // [n_experts, dim]
  const int32_t* begin;  // Routing::begin
  int64_t n_experts;
  int64_t pairs;  // begin[n_experts]
  int64_t dim;
};

// out[p] = activate(gate_e x) * (up_e x) for every pair p of every expert e, as in
// ExpertMatmulArgs.
struct GatedExpertsArgs {
  MatrixStack gate;
  MatrixStack up;
  Activation x;
  const int32_t* begin;
  const int32_t* x_rows;
  int64_t pairs;
  Activate activate;
  float* out;      // [pairs, rows]
  float* scratch;  // [pairs, rows]; may be written
};

// out[t, :] (+)= sum_k weights[t, k] * y[pairs[t, k], :], in the order of k.
struct CombineArgs {
  const float* y;  // [pairs, dim]
  Routing routing;
  int64_t tokens;
  int64_t top_k;
  int64_t dim;
  bool accumulate;
  float* out;  // [tokens, dim]
};

}  // namespace tq
