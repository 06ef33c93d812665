// Multi-head latent attention as a decoder layer runs it, in the absorbed form: the part of the key
// projection that expands the latent is applied to the queries, so that scores are products with
// the latents of the cache, and values are expanded after they are summed. Spec and weights are
// const after loading; scratch is the decoder's, so one thread runs it.
#pragma once

#include <vector>

#include "kv/kv_cache.h"
#include "model/layers/step.h"
#include "model/spec.h"
#include "model/workspace.h"

namespace tq {

struct Mla {
  MlaSpec spec;
  Linear q_a;                        // [q_rank, hidden]
  const float* q_a_norm = nullptr;   // [q_rank]
  Linear q_b;                        // [n_heads * (nope_dim + rope_dim), q_rank]
  Linear kv_a;                       // [kv_rank + rope_dim, hidden]
  const float* kv_a_norm = nullptr;  // [kv_rank]
  // The two halves of kv_b, a matrix for each head.
  MatrixStack k_absorb;  // [kv_rank, nope_dim]: transposed
  MatrixStack v_expand;  // [v_dim, kv_rank]
  Linear o;              // [hidden, n_heads * v_dim]

  void plan(Workspace& workspace, int64_t max_tokens);
  std::vector<InputRequest> inputs(const float* norm_weight) const {
    return {{norm_weight, &q_a.weight}};
  }
  // The result is in `out`.
  BlockResults run(const Step& step, const KvLayerView& kv, BlockInputs x, float* out) const;
  // As run() would ask for attention, for planning; `batch` holds upper bounds.
  AttentionArgs attention_args(const KvLayerView& kv, const RaggedBatch& batch) const;

 private:
  LatentInputsArgs inputs_args(const Step& step, const KvLayerView& kv) const;

  int64_t key_dim() const { return spec.kv_rank + spec.rope_dim; }
  int64_t query_dim() const { return spec.nope_dim + spec.rope_dim; }

  float* q_latent_ = nullptr;  // [tokens, q_rank]
  float* q_out_ = nullptr;     // [tokens, n_heads, nope_dim + rope_dim]
  float* q_nope_ = nullptr;    // [tokens, n_heads, nope_dim]
  float* query_ = nullptr;     // [tokens, n_heads, kv_rank + rope_dim]
  float* latent_ = nullptr;    // [tokens, kv_rank + rope_dim], what the cache keeps
  float* mixed_ = nullptr;     // [tokens, n_heads, kv_rank]
  float* values_ = nullptr;    // [tokens, n_heads, v_dim]
};

}  // namespace tq
