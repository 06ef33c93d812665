#include "kernels/cpu/delta_rule.h"

#include <cmath>

namespace tq {
namespace {

constexpr double kNormEps = 1e-6;

// out = x / sqrt(sum x^2 + eps) * scale
void unit_vector(const float* x, int64_t n, double scale, float* out) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += double{x[i]} * x[i];
  const auto factor = static_cast<float>(scale / std::sqrt(sum + kNormEps));
  for (int64_t i = 0; i < n; ++i) out[i] = x[i] * factor;
}

// log(1 + e^x), which is x to fp32 from 20 on.
double softplus(double x) { return x > 20 ? x : std::log1p(std::exp(x)); }

}  // namespace

DeltaToken::DeltaToken(const DeltaRuleArgs& args, int64_t token, int64_t head) {
  const float* row = args.qkv + token * args.row();
  const int64_t keys = args.n_k_heads * args.k_dim;
  const int64_t k_head = head / (args.n_heads / args.n_k_heads);
  unit_vector(row + k_head * args.k_dim, args.k_dim, 1 / std::sqrt(static_cast<double>(args.k_dim)),
              q);
  unit_vector(row + keys + k_head * args.k_dim, args.k_dim, 1, k);
  v = row + 2 * keys + head * args.v_dim;
  const int64_t at = token * args.n_heads + head;
  const double rate = std::exp(double{args.a_log[head]});
  decay = static_cast<float>(
      std::exp(-rate * softplus(double{args.a[at]} + double{args.dt_bias[head]})));
  beta = static_cast<float>(1 / (1 + std::exp(-double{args.b[at]})));
}

}  // namespace tq
