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

// Each chosen expert's result for each of its tokens, in down_out_.
void Moe::run_experts(const Step& step, const BlockInput& x) const {
  const int64_t pairs = step.tokens * spec.top_k;
  if (same_input(gate.matrix, up.matrix)) {
    step.backend.matmul_gated_experts({.gate = gate,
                                       .up = up,
                                       .x = prepare_input(step, gate.matrix, x),
                                       .begin = routing_.begin,
                                       .x_rows = routing_.tokens,
                                       .pairs = pairs,
                                       .activate = spec.activate,
                                       .out = gate_out_,
                                       .scratch = up_out_});
  } else {
    for (const auto& [weights, out] : {std::pair{gate, gate_out_}, std::pair{up, up_out_}}) {
      step.backend.matmul_experts({.weights = weights,
                                   .x = prepare_input(step, weights.matrix, x),
                                   .begin = routing_.begin,
                                   .x_rows = routing_.tokens,
                                   .out = out,
                                   .pairs = pairs});
    }
    step.backend.glu({.activate = spec.activate,
                      .gate = gate_out_,
                      .up = up_out_,
                      .n = pairs * spec.width,
                      .out = gate_out_});
  }
  step.backend.matmul_experts({.weights = down,
                               .x = prepare_input(step, down.matrix, gate_out_, pairs),
                               .begin = routing_.begin,
                               .x_rows = nullptr,
                               .out = down_out_,
                               .pairs = pairs});
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
  const auto run_shared = [&] {
    results.results[results.n++] = shared->run(side, x.first(1), out).results[0];
  };
  step.backend.run_beside(std::cref(run_shared), std::cref(run_routed));
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
