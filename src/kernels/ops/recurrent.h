// Arguments of layers that keep a state instead of keys and values (Gated DeltaNet: S. Yang et al.,
// 2024, "Gated Delta Networks"; as in transformers' modeling_qwen3_5.py); of pointers and matrices
// see rows.h.
//
// A sequence's tokens are taken in order and its state is read and written: results do not depend
// on where a sequence was cut into steps, nor on what else is in the batch. A sequence whose first
// token is in the step (kv_len is the number of its tokens) begins with a state of zeros, whatever
// its slot holds.
#pragma once

#include <cstdint>

#include "kernels/ops/attention.h"

namespace tq {

// Numbers of a key of the delta rule: what kernels have room for.
constexpr int64_t kMaxStateKey = 256;
// Tokens that a short convolution looks at.
constexpr int64_t kMaxConvWidth = 8;

// Slot i of a layer's states is `stride` floats behind slot i - 1; batch.states says which slot a
// sequence has.
struct StateSlots {
  float* first = nullptr;
  int64_t stride = 0;
};

// A causal convolution of each channel over the last `width` tokens, then SiLU:
// out[t, c] = silu(sum over i of weight[i, c] * x[t - width + 1 + i, c]). The state is the last
// width - 1 rows of x, [width - 1, dim], oldest first.
struct ShortConvArgs {
  RaggedBatch batch;
  StateSlots state;
  const float* x;       // [tokens, dim]
  const float* weight;  // [width, dim]
  int64_t dim;
  int64_t width;  // 2 to kMaxConvWidth
  float* out;     // [tokens, dim]; not x
};

// The gated delta rule. Of value head h with key head h / (n_heads / n_k_heads), S [k_dim, v_dim]:
//   q = q / sqrt(sum q^2 + 1e-6) / sqrt(k_dim), k = k / sqrt(sum k^2 + 1e-6),
//   S = exp(-exp(a_log) * softplus(a + dt_bias)) * S,
//   S = S + k (sigmoid(b) * (v - S^T k))^T,
//   out = S^T q.
// The state is S of each head, [n_heads, k_dim, v_dim].
struct DeltaRuleArgs {
  RaggedBatch batch;
  StateSlots state;
  const float* qkv;      // [tokens, n_k_heads * k_dim (q), the same (k), n_heads * v_dim (v)]
  const float* a;        // [tokens, n_heads]
  const float* b;        // [tokens, n_heads]
  const float* a_log;    // [n_heads]
  const float* dt_bias;  // [n_heads]
  int64_t n_k_heads;
  int64_t n_heads;
  int64_t k_dim;  // at most kMaxStateKey
  int64_t v_dim;
  float* out;  // [tokens, n_heads, v_dim]

  int64_t row() const { return 2 * n_k_heads * k_dim + n_heads * v_dim; }  // of qkv
};

// out[r, :] = x[r, :] / sqrt(mean(x[r, :]^2) + eps) * weight * silu(gate[r, :]).
struct GatedNormArgs {
  const float* x;       // [rows, dim]
  const float* gate;    // [rows, dim]
  const float* weight;  // [dim]
  float eps;
  int64_t rows;
  int64_t dim;
  float* out;  // may equal x or gate
};

}  // namespace tq
