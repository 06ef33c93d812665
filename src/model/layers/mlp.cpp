#include "model/layers/mlp.h"

namespace tq {

void Mlp::plan(Workspace& workspace, int64_t max_tokens) {
  gate_out_ = workspace.take<float>(max_tokens * spec.width);
  up_out_ = workspace.take<float>(max_tokens * spec.width);
}

BlockResults Mlp::run(const Step& step, BlockInputs x, float* out) const {
  if (same_input(gate.weight, up.weight)) {
    step.backend.matmul_gated({.gate = gate.weight,
                               .up = up.weight,
                               .gate_bias = gate.bias,
                               .up_bias = up.bias,
                               .x = prepare_input(step, gate.weight, x[0]),
                               .activate = spec.activate,
                               .out = gate_out_,
                               .scratch = up_out_});
  } else {
    project(step, x[0], {{gate, gate_out_}, {up, up_out_}});
    step.backend.glu({.activate = spec.activate,
                      .gate = gate_out_,
                      .up = up_out_,
                      .n = step.tokens * spec.width,
                      .out = gate_out_});
  }
  project(step, gate_out_, {{down, out}});
  return {{{.x = out}}, 1};
}

}  // namespace tq
