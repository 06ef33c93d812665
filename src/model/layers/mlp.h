// Gated MLP as a decoder layer runs it: down(activate(gate(x)) * up(x)). Spec and weights are const
// after loading; scratch is the decoder's, so one thread runs it.
#pragma once

#include <vector>

#include "model/layers/step.h"
#include "model/spec.h"
#include "model/workspace.h"

namespace tq {

struct Mlp {
  MlpSpec spec;
  Linear gate;  // [width, hidden]
  Linear up;
  Linear down;  // [hidden, width]

  void plan(Workspace& workspace, int64_t max_tokens);
  std::vector<InputRequest> inputs(const float* norm_weight) const {
    return {{norm_weight, &gate.weight}};
  }
  // The result is in `out`.
  BlockResults run(const Step& step, BlockInputs x, float* out) const;

 private:
  float* gate_out_ = nullptr;  // [tokens, width]
  float* up_out_ = nullptr;
};

}  // namespace tq
