#include "model/layers/attention.h"

namespace tq {

void Gqa::plan(Workspace& workspace, int64_t max_tokens) {
  q_out_ = workspace.take<float>(max_tokens * spec.n_heads * spec.head_dim);
  k_out_ = workspace.take<float>(max_tokens * spec.n_kv_heads * spec.head_dim);
  v_out_ = workspace.take<float>(max_tokens * spec.n_kv_heads * spec.head_dim);
  mixed_ = workspace.take<float>(max_tokens * spec.n_heads * spec.head_dim);
}

void Gqa::norm_and_rotate(const Step& step, float* heads, int64_t n_heads,
                          const float* norm) const {
  if (spec.qk_norm) {
    rms_norm(step, {norm, spec.head_dim}, heads, step.tokens * n_heads, heads);
  }
  const RopeTable& rope = step.ropes[static_cast<size_t>(spec.rope)];
  step.backend.rope({.x = heads,
                     .tokens = step.tokens,
                     .heads = n_heads,
                     .head_dim = spec.head_dim,
                     .token_stride = n_heads * spec.head_dim,
                     .n_pairs = rope.n_pairs,
                     .interleaved = rope.interleaved,
                     .cos = rope.cos,
                     .sin = rope.sin});
}

void Gqa::run(const Step& step, const KvLayerView& kv, const float* x, BlockOutput result) const {
  project(step, x, {{q, q_out_}, {k, k_out_}, {v, v_out_}});
  norm_and_rotate(step, q_out_, spec.n_heads, q_norm);
  norm_and_rotate(step, k_out_, spec.n_kv_heads, k_norm);
  step.backend.kv_store(
      {.kv = kv, .slots = step.slots, .tokens = step.tokens, .k = k_out_, .v = v_out_});
  step.backend.attention({.kv = kv,
                          .batch = step.batch,
                          .q = q_out_,
                          .n_heads = spec.n_heads,
                          .scale = spec.scale,
                          .window = spec.window,
                          .softcap = spec.softcap,
                          .out = mixed_});
  project(step, mixed_, {{o, result.out, result.accumulate}});
}

}  // namespace tq
