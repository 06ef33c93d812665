// Grouped-query attention as a decoder layer runs it: projections, optional norms of q and k, rope,
// KV store, attention over the pages, output projection. Spec and weights are const after loading;
// scratch is the decoder's, so one thread runs it.
#pragma once

#include <vector>

#include "kv/kv_cache.h"
#include "model/layers/step.h"
#include "model/spec.h"
#include "model/workspace.h"

namespace tq {

struct Gqa {
  GqaSpec spec;
  Linear q;                       // [n_heads * head_dim, hidden]; twice the rows with output_gate
  Linear k;                       // [n_kv_heads * head_dim, hidden]; none with kv_from
  Linear v;                       // likewise; none with v_is_k
  Linear o;                       // [hidden, n_heads * head_dim]
  const float* q_norm = nullptr;  // [head_dim], with qk_norm
  const float* k_norm = nullptr;
  const float* sink_scores = nullptr;  // [n_heads], with sinks
  // The cache holds keys without the bias of k, which is added to the scores: for a compressed
  // cache, whose codes a large constant would coarsen. Never with qk_norm.
  bool key_bias_apart = false;

  void plan(Workspace& workspace, int64_t max_tokens);
  std::vector<InputRequest> inputs(const float* norm_weight) const {
    return {{norm_weight, &q.weight}};
  }
  // kv: the pages of the layer whose keys and values it reads. The result is in `out`.
  BlockResults run(const Step& step, const KvLayerView& kv, BlockInputs x, float* out) const;
  // As run() would ask for attention, for planning; `batch` holds upper bounds.
  AttentionArgs attention_args(const KvLayerView& kv, const RaggedBatch& batch) const;

 private:
  AttentionInputsArgs inputs_args(const Step& step, const KvLayerView& kv) const;
  KeyBias key_bias(const Step& step) const;

  // Makes q_out_ of what q returns with output_gate, and multiplies mixed_ by the gates.
  void split_gate(const Step& step) const;
  void apply_gate(const Step& step) const;

  float* q_gate_ = nullptr;  // [tokens, n_heads, 2, head_dim], with output_gate
  float* q_out_ = nullptr;   // [tokens, n_heads, head_dim]
  float* k_out_ = nullptr;   // [tokens, n_kv_heads, head_dim]
  float* v_out_ = nullptr;
  float* mixed_ = nullptr;  // [tokens, n_heads, head_dim]
};

}  // namespace tq
