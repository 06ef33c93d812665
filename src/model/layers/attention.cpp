#include "model/layers/attention.h"

namespace tq {

void Gqa::plan(Workspace& workspace, int64_t max_tokens) {
  if (spec.output_gate) {
    q_gate_ = workspace.take<float>(max_tokens * spec.n_heads * 2 * spec.head_dim);
  }
  q_out_ = workspace.take<float>(max_tokens * spec.n_heads * spec.head_dim);
  k_out_ = workspace.take<float>(max_tokens * spec.n_kv_heads * spec.head_dim);
  v_out_ = workspace.take<float>(max_tokens * spec.n_kv_heads * spec.head_dim);
  mixed_ = workspace.take<float>(max_tokens * spec.n_heads * spec.head_dim);
}

AttentionInputsArgs Gqa::inputs_args(const Step& step, const KvLayerView& kv) const {
  const RopeTable& rope = step.ropes[static_cast<size_t>(spec.rope)];
  return {.q = q_out_,
          .k = spec.kv_from ? nullptr : k_out_,
          .v = v_out_,
          .v_is_k = spec.v_is_k,
          .tokens = step.tokens,
          .n_heads = spec.n_heads,
          .head_dim = spec.head_dim,
          .qk_norm = spec.qk_norm,
          .q_norm = q_norm,
          .k_norm = k_norm,
          .v_norm = spec.v_norm,
          .eps = step.norm_eps,
          .n_pairs = rope.n_pairs,
          .interleaved = rope.interleaved,
          .cos = rope.cos,
          .sin = rope.sin,
          .kv = kv,
          .slots = step.slots,
          .near_slots = step.near_slots};
}

AttentionArgs Gqa::attention_args(const KvLayerView& kv, const RaggedBatch& batch) const {
  return {.kv = kv,
          .batch = batch,
          .q = q_out_,
          .n_heads = spec.n_heads,
          .scale = spec.scale,
          .window = spec.window,
          .softcap = spec.softcap,
          .out = mixed_,
          .sink_scores = sink_scores};
}

KeyBias Gqa::key_bias(const Step& step) const {
  if (!key_bias_apart) return {};
  const RopeTable& rope = step.ropes[static_cast<size_t>(spec.rope)];
  const KeyAngles& key = step.key_angles[static_cast<size_t>(spec.rope)];
  return {.bias = k.bias,
          .angles = key.angles,
          .stride = key.stride,
          .n_pairs = rope.n_pairs,
          .interleaved = rope.interleaved};
}

void Gqa::split_gate(const Step& step) const {
  step.backend.gather_rows({.x = q_gate_,
                            .rows = {},
                            .n = step.tokens * spec.n_heads,
                            .dim = spec.head_dim,
                            .out = q_out_,
                            .x_stride = 2 * spec.head_dim});
}

void Gqa::apply_gate(const Step& step) const {
  step.backend.sigmoid_gate({.x = mixed_,
                             .gate = q_gate_ + spec.head_dim,
                             .rows = step.tokens * spec.n_heads,
                             .dim = spec.head_dim,
                             .gate_stride = 2 * spec.head_dim});
}

BlockResults Gqa::run(const Step& step, const KvLayerView& kv, BlockInputs x, float* out) const {
  const Linear keys{k.weight, key_bias_apart ? nullptr : k.bias};
  float* const queries = spec.output_gate ? q_gate_ : q_out_;
  if (spec.kv_from) {
    project(step, x[0], {{q, queries}});
  } else if (spec.v_is_k) {
    project(step, x[0], {{q, queries}, {keys, k_out_}});
  } else {
    project(step, x[0], {{q, queries}, {keys, k_out_}, {v, v_out_}});
  }
  if (spec.output_gate) split_gate(step);
  if (spec.query_beta > 0) {
    step.backend.scale_by_position({.x = q_out_,
                                    .positions = step.positions,
                                    .tokens = step.tokens,
                                    .dim = spec.n_heads * spec.head_dim,
                                    .beta = spec.query_beta,
                                    .original = spec.query_span});
  }
  AttentionArgs attention = attention_args(kv, step.batch);
  attention.workspace = step.attention;
  attention.key_bias = key_bias(step);
  if (spec.output_gate) {
    step.backend.attention_inputs(inputs_args(step, kv));
    step.backend.attention(attention);
    apply_gate(step);
    project(step, mixed_, {{o, out}});
    return {{{.x = out}}, 1};
  }
  const Activation mixed = step.backend.attention_prepared(
      inputs_args(step, kv), attention, rows_for(step, o.weight, mixed_, step.tokens));
  step.backend.matmul({.weight = o.weight, .x = mixed, .bias = o.bias, .out = out});
  return {{{.x = out}}, 1};
}

}  // namespace tq
