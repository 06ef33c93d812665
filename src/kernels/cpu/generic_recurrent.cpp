// Layers that keep a state: the short convolution, the gated delta rule and the norm behind it.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/cpu/delta_rule.h"
#include "kernels/cpu/generic.h"
#include "kernels/cpu/vector_math.h"

namespace tq::generic {
namespace {

float silu_of(float x) { return x / (1.0f + fast_exp(-x)); }

void gated_norm(const GatedNormArgs& args, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const float* x = args.x + row * args.dim;
    const float* gate = args.gate + row * args.dim;
    float* out = args.out + row * args.dim;
    double sum = 0;
    for (int64_t i = 0; i < args.dim; ++i) sum += double{x[i]} * x[i];
    const auto scale =
        static_cast<float>(1.0 / std::sqrt(sum / static_cast<double>(args.dim) + double{args.eps}));
    for (int64_t i = 0; i < args.dim; ++i) {
      out[i] = x[i] * scale * args.weight[i] * silu_of(gate[i]);
    }
  }
}

// The rows of the state and then those of x are what the tokens see.
void short_conv(const ShortConvArgs& args, int64_t begin, int64_t end) {
  for (int64_t s = 0; s < args.batch.n_seqs; ++s) {
    const StepTokens tokens = step_tokens(args.batch, s);
    float* state = args.state.first + args.batch.states[s] * args.state.stride;
    const int64_t before = args.width - 1;
    const float* x = args.x + tokens.first * args.dim;
    float* out = args.out + tokens.first * args.dim;
    for (int64_t r = 0; tokens.fresh && r < before; ++r) {
      std::fill(state + r * args.dim + begin, state + r * args.dim + end, 0.0f);
    }
    const auto seen = [&](int64_t t) {
      return t < 0 ? state + (before + t) * args.dim : x + t * args.dim;
    };
    for (int64_t t = 0; t < tokens.n; ++t) {
      for (int64_t c = begin; c < end; ++c) {
        float sum = 0;
        for (int64_t i = 0; i < args.width; ++i) {
          sum += args.weight[i * args.dim + c] * seen(t - before + i)[c];
        }
        out[t * args.dim + c] = silu_of(sum);
      }
    }
    for (int64_t r = 0; r < before; ++r) {
      const float* from = seen(tokens.n - before + r);
      std::copy(from + begin, from + end, state + r * args.dim + begin);
    }
  }
}

// One token of one head: reads S once, then reads and writes it once.
void delta_step(const DeltaRuleArgs& args, const DeltaToken& token, float* state, float* out) {
  const int64_t v_dim = args.v_dim;
  std::fill_n(out, v_dim, 0.0f);  // S^T k, then what is written, then S^T q
  for (int64_t i = 0; i < args.k_dim; ++i) {
    for (int64_t j = 0; j < v_dim; ++j) out[j] += token.k[i] * state[i * v_dim + j];
  }
  for (int64_t j = 0; j < v_dim; ++j) {
    const float written = token.beta * (token.v[j] - token.decay * out[j]);
    float read = 0;
    for (int64_t i = 0; i < args.k_dim; ++i) {
      float& s = state[i * v_dim + j];
      s = token.decay * s + token.k[i] * written;
      read += token.q[i] * s;
    }
    out[j] = read;
  }
}

void delta_rule(const DeltaRuleArgs& args, int64_t begin, int64_t end) {
  for (int64_t e = begin; e < end; ++e) {
    const int64_t seq = e / args.n_heads;
    const int64_t head = e % args.n_heads;
    const StepTokens tokens = step_tokens(args.batch, seq);
    float* state = state_of(args, seq, head);
    if (tokens.fresh) std::fill_n(state, args.k_dim * args.v_dim, 0.0f);
    for (int64_t t = tokens.first; t < tokens.first + tokens.n; ++t) {
      const DeltaToken token(args, t, head);
      delta_step(args, token, state, args.out + (t * args.n_heads + head) * args.v_dim);
    }
  }
}

}  // namespace

void fill_recurrent(CpuKernels& table) {
  table.gated_norm = gated_norm;
  table.short_conv = short_conv;
  table.delta_rule = delta_rule;
}

}  // namespace tq::generic
