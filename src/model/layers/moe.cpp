#include "model/layers/moe.h"

#include <functional>
#include <utility>

namespace tq {

void Moe::plan(Workspace& workspace, int64_t max_tokens) {
  const int64_t pairs = max_tokens * spec.top_k;
  logits_ = workspace.take<float>(max_tokens * spec.n_experts);
  routing_ = {.experts = workspace.take<int32_t>(pairs),
              .weights = workspace.take<float>(pairs),
              .pairs = workspace.take<int32_t>(pairs),
              .tokens = workspace.take<int32_t>(pairs),
              .begin = workspace.take<int32_t>(spec.n_experts + 1)};
  gate_out_ = workspace.take<float>(pairs * spec.width);
  up_out_ = workspace.take<float>(pairs * spec.width);
  down_out_ = workspace.take<float>(pairs * hidden);
  if (shared) shared->plan(workspace, max_tokens);
  if (spec.shared_gate) shared_score_ = workspace.take<float>(max_tokens);
}

std::vector<InputRequest> Moe::inputs(const float* norm_weight) const {
  std::vector<InputRequest> requests = {{norm_weight, &gate.matrix}};
  if (spec.router_norm) requests.push_back({router_norm, &router.weight});
  return requests;
}

void Moe::route(const Step& step, const BlockInput& x) const {
  step.backend.route_tokens({.weight = router.weight,
                             .x = prepare_input(step, router.weight, x),
                             .bias = router.bias,
                             .logits = logits_,
                             .route = {.logits = nullptr,
                                       .tokens = step.tokens,
                                       .n_experts = spec.n_experts,
                                       .top_k = spec.top_k,
                                       .score = spec.score,
                                       .n_groups = spec.n_groups,
                                       .top_groups = spec.top_groups,
                                       .selection_bias = selection_bias,
                                       .expert_scale = expert_scale,
                                       .normalize = spec.normalize,
                                       .scale = spec.weight_scale,
                                       .out = routing_}});
}

void Moe::add_bias(const Step& step, const float* bias, int64_t dim, float* x) const {
  if (bias == nullptr) return;
  step.backend.add_expert_bias({.x = x,
                                .bias = bias,
                                .begin = routing_.begin,
                                .n_experts = spec.n_experts,
                                .pairs = step.tokens * spec.top_k,
                                .dim = dim});
}

void Moe::run_gated(const Step& step, const BlockInput& x, int64_t pairs) const {
  const bool plain = !spec.bias && spec.clamp_limit == 0;
  if (plain && same_input(gate.matrix, up.matrix)) {
    return step.backend.matmul_gated_experts({.gate = gate,
                                              .up = up,
                                              .x = prepare_input(step, gate.matrix, x),
                                              .begin = routing_.begin,
                                              .x_rows = routing_.tokens,
                                              .pairs = pairs,
                                              .activate = spec.activate,
                                              .out = gate_out_,
                                              .scratch = up_out_});
  }
  struct Part {
    const MatrixStack& weights;
    const float* bias;
    float* out;
  };
  for (const auto& [weights, bias, out] :
       {Part{gate, gate_bias, gate_out_}, Part{up, up_bias, up_out_}}) {
    step.backend.matmul_experts({.weights = weights,
                                 .x = prepare_input(step, weights.matrix, x),
                                 .begin = routing_.begin,
                                 .x_rows = routing_.tokens,
                                 .out = out,
                                 .pairs = pairs});
    add_bias(step, bias, spec.width, out);
  }
  const int64_t n = pairs * spec.width;
  if (spec.clamp_limit > 0) {
    return step.backend.glu_clamped({.gate = gate_out_,
                                     .up = up_out_,
                                     .n = n,
                                     .alpha = spec.clamp_alpha,
                                     .limit = spec.clamp_limit,
                                     .out = gate_out_});
  }
  step.backend.glu(
      {.activate = spec.activate, .gate = gate_out_, .up = up_out_, .n = n, .out = gate_out_});
}

// Each chosen expert's result for each of its tokens, in down_out_.
void Moe::run_experts(const Step& step, const BlockInput& x) const {
  const int64_t pairs = step.tokens * spec.top_k;
  run_gated(step, x, pairs);
  step.backend.matmul_experts({.weights = down,
                               .x = prepare_input(step, down.matrix, gate_out_, pairs),
                               .begin = routing_.begin,
                               .x_rows = nullptr,
                               .out = down_out_,
                               .pairs = pairs});
  add_bias(step, down_bias, hidden, down_out_);
}

BlockResult Moe::run_shared(const Step& step, BlockInputs x, float* out) const {
  const BlockResult result = shared->run(step, x.first(1), out).results[0];
  if (!spec.shared_gate) return result;
  project(step, x[0], {{shared_gate, shared_score_}});
  step.backend.sigmoid_gate({.x = out,
                             .gate = shared_score_,
                             .rows = step.tokens,
                             .dim = hidden,
                             .gate_stride = 1,
                             .per_row = true});
  return result;
}

BlockResults Moe::run(const Step& step, BlockInputs x, float* out) const {
  BlockResults results{{{.x = down_out_, .top_k = spec.top_k, .routing = routing_}}, 1};
  const auto run_routed = [&] {
    route(step, x[spec.router_norm ? 1 : 0]);
    run_experts(step, x[0]);
  };
  if (!shared) {
    run_routed();
    return results;
  }
  const Step side = step.beside();
  const auto run_side = [&] { results.results[results.n++] = run_shared(side, x, out); };
  step.backend.run_beside(std::cref(run_side), std::cref(run_routed));
  return results;
}

void MlpMoe::plan(Workspace& workspace, int64_t max_tokens) {
  mlp.plan(workspace, max_tokens);
  moe.plan(workspace, max_tokens);
}

std::vector<InputRequest> MlpMoe::inputs(const float* norm_weight) const {
  std::vector<InputRequest> requests = mlp.inputs(norm_weight);
  for (const InputRequest& request : moe.inputs(moe_pre_norm)) requests.push_back(request);
  return requests;
}

BlockResults MlpMoe::run(const Step& step, BlockInputs x, float* out) const {
  BlockResult dense, mixture;
  const Step side = step.beside();
  const auto run_mlp = [&] { dense = mlp.run(side, x.first(1), out).results[0]; };
  const auto run_moe = [&] { mixture = moe.run(step, x.subspan(1), nullptr).results[0]; };
  step.backend.run_beside(std::cref(run_mlp), std::cref(run_moe));
  dense.norm_weight = mlp_post_norm;
  mixture.norm_weight = moe_post_norm;
  return {{dense, mixture}, 2};
}

}  // namespace tq
