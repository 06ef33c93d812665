#include "model/layers/step.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace tq {
namespace {

bool serves(const Activation& x, const WeightView& weight) {
  return x.tokens > 0 && x.form == weight.traits().input && x.in_padded == weight.in_padded &&
         x.group == weight.group;
}

}  // namespace

bool same_input(const WeightView& a, const WeightView& b) {
  return a.traits().input == b.traits().input && a.in_padded == b.in_padded && a.group == b.group;
}

PrepareArgs rows_for(const Step& step, const WeightView& weight, const float* x, int64_t rows) {
  return {.x = x,
          .tokens = rows,
          .in = weight.in,
          .in_padded = weight.in_padded,
          .group = weight.group,
          .form = weight.traits().input,
          .storage = step.activation};
}

Activation prepare_input(const Step& step, const WeightView& weight, const float* x, int64_t rows) {
  return step.backend.prepare(rows_for(step, weight, x, rows));
}

Activation prepare_input(const Step& step, const WeightView& weight, const BlockInput& x) {
  if (serves(x.activation, weight)) return x.activation;
  return prepare_input(step, weight, x.rows, step.tokens);
}

void project(const Step& step, const float* x, std::initializer_list<Projection> projections) {
  if (projections.size() > 1) return project(step, BlockInput{x, {}}, projections);
  const auto& [linear, out] = *projections.begin();
  step.backend.matmul({.weight = linear.weight,
                       .x = prepare_input(step, linear.weight, x, step.tokens),
                       .bias = linear.bias,
                       .out = out});
}

void project(const Step& step, const BlockInput& x, std::initializer_list<Projection> projections) {
  constexpr size_t kMaxShared = 4;
  TQ_CHECK(projections.size() <= kMaxShared, "{} products at once", projections.size());
  for (const Projection* first = projections.begin(); first != projections.end(); ++first) {
    const WeightView& weight = first->linear.weight;
    const auto shares = [&](const Projection& p) { return same_input(p.linear.weight, weight); };
    if (std::any_of(projections.begin(), first, shares)) continue;  // done with an earlier one
    const Activation input = prepare_input(step, weight, x);
    std::array<MatmulArgs, kMaxShared> products;
    size_t n = 0;
    for (const Projection* p = first; p != projections.end(); ++p) {
      if (!shares(*p)) continue;
      products[n++] = {
          .weight = p->linear.weight, .x = input, .bias = p->linear.bias, .out = p->out};
    }
    step.backend.matmul_shared({products.data(), n});
  }
}

void rms_norm(const Step& step, const Norm& norm, const float* x, int64_t rows, float* out) {
  step.backend.rms_norm({.x = x,
                         .weight = norm.weight,
                         .eps = norm.eps > 0 ? norm.eps : step.norm_eps,
                         .rows = rows,
                         .dim = norm.dim,
                         .out = out,
                         .stride = norm.stride});
}

}  // namespace tq
