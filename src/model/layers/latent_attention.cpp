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

void Mla::rotate(const Step& step, float* x, int64_t heads, int64_t stride) const {
  const RopeTable& rope = step.ropes[static_cast<size_t>(spec.rope)];
  step.backend.rope({.x = x,
                     .tokens = step.tokens,
                     .heads = heads,
                     .head_dim = stride,
                     .token_stride = heads * stride,
                     .n_pairs = rope.n_pairs,
                     .interleaved = rope.interleaved,
                     .cos = rope.cos,
                     .sin = rope.sin});
}

// The latent is normed, the rotated part of the key behind it is not.
void Mla::store_latents(const Step& step, const KvLayerView& kv) const {
  const Norm norm{kv_a_norm, spec.kv_rank, spec.latent_norm_eps, key_dim()};
  rms_norm(step, norm, latent_, step.tokens, latent_);
  rotate(step, latent_ + spec.kv_rank, 1, key_dim());
  step.backend.kv_store(
      {.kv = kv, .slots = step.slots, .tokens = step.tokens, .k = latent_, .v = nullptr});
}

void Mla::absorb_queries(const Step& step) const {
  const int64_t heads = step.tokens * spec.n_heads;
  step.backend.gather_rows(
      {.x = q_out_, .n = heads, .dim = spec.nope_dim, .out = q_nope_, .x_stride = query_dim()});
  step.backend.matmul_heads({.weights = k_absorb,
                             .x = prepare_input(step, k_absorb.matrix, q_nope_, heads),
                             .out = query_,
                             .out_stride = key_dim()});
  step.backend.gather_rows({.x = q_out_ + spec.nope_dim,
                            .n = heads,
                            .dim = spec.rope_dim,
                            .out = query_ + spec.kv_rank,
                            .x_stride = query_dim(),
                            .out_stride = key_dim()});
  rotate(step, query_ + spec.kv_rank, spec.n_heads, key_dim());
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

BlockResults Mla::run(const Step& step, const KvLayerView& kv, BlockInputs x, float* out) const {
  project(step, x[0], {{q_a, q_latent_}, {kv_a, latent_}});
  store_latents(step, kv);
  rms_norm(step, {q_a_norm, spec.q_rank, spec.latent_norm_eps}, q_latent_, step.tokens, q_latent_);
  project(step, q_latent_, {{q_b, q_out_}});
  absorb_queries(step);
  AttentionArgs attention = attention_args(kv, step.batch);
  attention.workspace = step.attention;
  step.backend.attention(attention);
  const int64_t heads = step.tokens * spec.n_heads;
  step.backend.matmul_heads({.weights = v_expand,
                             .x = prepare_input(step, v_expand.matrix, mixed_, heads),
                             .out = values_});
  project(step, values_, {{o, out}});
  return {{{.x = out}}, 1};
}

}  // namespace tq
