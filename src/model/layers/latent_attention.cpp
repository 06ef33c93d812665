#include "model/layers/latent_attention.h"

namespace tq {

void Mla::plan(Workspace& workspace, int64_t max_tokens) {
  const int64_t heads = max_tokens * spec.n_heads;
  q_latent_ = workspace.take<float>(max_tokens * spec.q_rank);
  q_out_ = workspace.take<float>(heads * query_dim());
  q_nope_ = workspace.take<float>(heads * spec.nope_dim);
  query_ = workspace.take<float>(heads * key_dim());
  latent_ = workspace.take<float>(max_tokens * key_dim());
  mixed_ = workspace.take<float>(heads * spec.kv_rank);
  values_ = workspace.take<float>(heads * spec.v_dim);
}

AttentionArgs Mla::attention_args(const KvLayerView& kv, const RaggedBatch& batch) const {
  return {.kv = kv,
          .batch = batch,
          .q = query_,
          .n_heads = spec.n_heads,
          .scale = spec.scale,
          .window = 0,
          .softcap = 0,
          .out = mixed_};
}

LatentInputsArgs Mla::inputs_args(const Step& step, const KvLayerView& kv) const {
  const RopeTable& rope = step.ropes[static_cast<size_t>(spec.rope)];
  return {.latent = latent_,
          .latent_norm = kv_a_norm,
          .eps = spec.latent_norm_eps,
          .q = q_out_,
          .nope_dim = spec.nope_dim,
          .query = query_,
          .tokens = step.tokens,
          .n_heads = spec.n_heads,
          .kv_rank = spec.kv_rank,
          .n_pairs = rope.n_pairs,
          .interleaved = rope.interleaved,
          .cos = rope.cos,
          .sin = rope.sin,
          .kv = kv,
          .slots = step.slots};
}

BlockResults Mla::run(const Step& step, const KvLayerView& kv, BlockInputs x, float* out) const {
  project(step, x[0], {{q_a, q_latent_}, {kv_a, latent_}});
  const Activation q_normed =
      step.backend.prepare_normed({.x = q_latent_,
                                   .weight = q_a_norm,
                                   .eps = spec.latent_norm_eps,
                                   .rows = step.tokens,
                                   .dim = spec.q_rank,
                                   .out = q_latent_},
                                  rows_for(step, q_b.weight, q_latent_, step.tokens));
  step.backend.matmul({.weight = q_b.weight, .x = q_normed, .bias = q_b.bias, .out = q_out_});
  const int64_t heads = step.tokens * spec.n_heads;
  const Activation q_nope = step.backend.prepare_strided(
      rows_for(step, k_absorb.matrix, q_out_, heads), query_dim(), q_nope_);
  step.backend.matmul_heads(
      {.weights = k_absorb, .x = q_nope, .out = query_, .out_stride = key_dim()});
  AttentionArgs attention = attention_args(kv, step.batch);
  attention.workspace = step.attention;
  const Activation mixed = step.backend.attention_prepared(
      inputs_args(step, kv), attention, rows_for(step, v_expand.matrix, mixed_, heads));
  step.backend.matmul_heads({.weights = v_expand, .x = mixed, .out = values_});
  project(step, values_, {{o, out}});
  return {{{.x = out}}, 1};
}

}  // namespace tq
