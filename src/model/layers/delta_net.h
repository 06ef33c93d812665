// Gated DeltaNet as a decoder layer runs it: projections, a short convolution of queries, keys and
// values, the gated delta rule, a norm with a gate, output projection. What a sequence keeps is in
// its slot of the KV cache's states. Spec and weights are const after loading; scratch is the
// decoder's, so one thread runs it.
#pragma once

#include <vector>

#include "kv/kv_cache.h"
#include "model/layers/step.h"
#include "model/spec.h"
#include "model/workspace.h"

namespace tq {

struct DeltaNet {
  DeltaNetSpec spec;
  Linear qkv;                      // [conv_dim, hidden]: queries, keys, values
  Linear z;                        // [n_heads * v_dim, hidden], gates of the norm
  Linear a;                        // [n_heads, hidden], of the decay
  Linear b;                        // [n_heads, hidden], of what is written
  const float* conv = nullptr;     // [conv_width, conv_dim]
  const float* a_log = nullptr;    // [n_heads]
  const float* dt_bias = nullptr;  // [n_heads]
  const float* norm = nullptr;     // [v_dim]
  Linear o;                        // [hidden, n_heads * v_dim]

  void plan(Workspace& workspace, int64_t max_tokens);
  std::vector<InputRequest> inputs(const float* norm_weight) const {
    return {{norm_weight, &qkv.weight}};
  }
  // kv: with the layer's states. The result is in `out`.
  BlockResults run(const Step& step, const KvLayerView& kv, BlockInputs x, float* out) const;

 private:
  float* qkv_out_ = nullptr;  // [tokens, conv_dim]
  float* mixed_ = nullptr;    // [tokens, conv_dim], behind the convolution
  float* z_out_ = nullptr;    // [tokens, n_heads, v_dim]
  float* a_out_ = nullptr;    // [tokens, n_heads]
  float* b_out_ = nullptr;    // [tokens, n_heads]
  float* read_ = nullptr;     // [tokens, n_heads, v_dim]
};

}  // namespace tq
