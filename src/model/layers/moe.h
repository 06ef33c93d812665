// Mixture of experts as a decoder layer runs it: router, the chosen experts' gated MLPs over tokens
// grouped by expert, weighted sum, shared expert; and Gemma 4's pair of an MLP and such a mixture.
// Spec and weights are const after loading; scratch is the decoder's, so one thread runs it.
#pragma once

#include <optional>
#include <vector>

#include "model/layers/mlp.h"
#include "model/layers/step.h"
#include "model/spec.h"
#include "model/workspace.h"

namespace tq {

struct Moe {
  MoeSpec spec;
  int64_t hidden = 0;
  Linear router;                          // [n_experts, hidden]
  const float* router_norm = nullptr;     // [hidden], with router_norm
  const float* selection_bias = nullptr;  // [n_experts] or null
  const float* expert_scale = nullptr;    // [n_experts] or null
  MatrixStack gate;                       // [n_experts] of [width, hidden]
  MatrixStack up;
  MatrixStack down;  // [n_experts] of [hidden, width]
  // With bias: [n_experts, width], and of down [n_experts, hidden].
  const float* gate_bias = nullptr;
  const float* up_bias = nullptr;
  const float* down_bias = nullptr;
  std::optional<Mlp> shared;  // with shared_width
  Linear shared_gate;         // [1, hidden], with shared_gate

  void plan(Workspace& workspace, int64_t max_tokens);
  // x[0] is what experts read, x[1] what the router reads, if that has a norm of its own.
  std::vector<InputRequest> inputs(const float* norm_weight) const;
  // The shared expert's result is in `out`.
  BlockResults run(const Step& step, BlockInputs x, float* out) const;

 private:
  void route(const Step& step, const BlockInput& x) const;
  void run_experts(const Step& step, const BlockInput& x) const;
  // activate(gate) * up of each chosen expert, in gate_out_.
  void run_gated(const Step& step, const BlockInput& x, int64_t pairs) const;
  void add_bias(const Step& step, const float* bias, int64_t dim, float* x) const;
  BlockResult run_shared(const Step& step, BlockInputs x, float* out) const;

  float* logits_ = nullptr;        // [tokens, n_experts]
  float* shared_score_ = nullptr;  // [tokens]
  Routing routing_{};
  float* gate_out_ = nullptr;  // [tokens * top_k, width]
  float* up_out_ = nullptr;
  float* down_out_ = nullptr;  // [tokens * top_k, hidden]
};

struct MlpMoe {
  MlpMoeSpec spec;
  Mlp mlp;
  const float* mlp_post_norm = nullptr;  // norms: [hidden]
  Moe moe;
  const float* moe_pre_norm = nullptr;
  const float* moe_post_norm = nullptr;

  void plan(Workspace& workspace, int64_t max_tokens);
  // x[0] is what the MLP reads, those of the mixture follow.
  std::vector<InputRequest> inputs(const float* norm_weight) const;
  // The MLP's result is in `out`.
  BlockResults run(const Step& step, BlockInputs x, float* out) const;
};

}  // namespace tq
