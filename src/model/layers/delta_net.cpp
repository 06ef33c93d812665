#include "model/layers/delta_net.h"

namespace tq {

void DeltaNet::plan(Workspace& workspace, int64_t max_tokens) {
  qkv_out_ = workspace.take<float>(max_tokens * spec.conv_dim());
  mixed_ = workspace.take<float>(max_tokens * spec.conv_dim());
  z_out_ = workspace.take<float>(max_tokens * spec.n_heads * spec.v_dim);
  a_out_ = workspace.take<float>(max_tokens * spec.n_heads);
  b_out_ = workspace.take<float>(max_tokens * spec.n_heads);
  read_ = workspace.take<float>(max_tokens * spec.n_heads * spec.v_dim);
}

BlockResults DeltaNet::run(const Step& step, const KvLayerView& kv, BlockInputs x,
                           float* out) const {
  project(step, x[0], {{qkv, qkv_out_}, {z, z_out_}, {a, a_out_}, {b, b_out_}});
  step.backend.short_conv({.batch = step.batch,
                           .state = {kv.state, kv.state_floats},
                           .x = qkv_out_,
                           .weight = conv,
                           .dim = spec.conv_dim(),
                           .width = spec.conv_width,
                           .out = mixed_});
  step.backend.delta_rule({.batch = step.batch,
                           .state = {kv.state + spec.conv_floats(), kv.state_floats},
                           .qkv = mixed_,
                           .a = a_out_,
                           .b = b_out_,
                           .a_log = a_log,
                           .dt_bias = dt_bias,
                           .n_k_heads = spec.n_k_heads,
                           .n_heads = spec.n_heads,
                           .k_dim = spec.k_dim,
                           .v_dim = spec.v_dim,
                           .out = read_});
  step.backend.gated_norm({.x = read_,
                           .gate = z_out_,
                           .weight = norm,
                           .eps = step.norm_eps,
                           .rows = step.tokens * spec.n_heads,
                           .dim = spec.v_dim,
                           .out = read_});
  project(step, read_, {{o, out}});
  return {{{.x = out}}, 1};
}

}  // namespace tq
