#include "model/layers/per_layer_input.h"

namespace tq {

void PerLayerInputs::plan(Workspace& workspace, int64_t max_tokens) {
  const int64_t n = max_tokens * n_layers * spec.dim;
  from_ids_ = workspace.take<float>(n);
  vectors_ = workspace.take<float>(n);
  of_layer_ = workspace.take<float>(max_tokens * spec.dim);
}

// (norm(projection(x) * hidden^-0.5) + embedding of the id) / sqrt(2). The factor before a norm is
// the same as eps * hidden in it.
void PerLayerInputs::make(const Step& step, const int32_t* ids, const float* embedded) const {
  constexpr float kSqrtHalf = 0.70710678119f;
  step.backend.embed({.table = table,
                      .ids = ids,
                      .tokens = step.tokens,
                      .scale = spec.embed_scale,
                      .out = from_ids_});
  project(step, embedded, {{projection, vectors_}});
  const float eps = step.norm_eps * static_cast<float>(hidden);
  rms_norm(step, {norm, spec.dim, eps}, vectors_, step.tokens * n_layers, vectors_);
  step.backend.add({.a = vectors_,
                    .b = from_ids_,
                    .scale = kSqrtHalf,
                    .n = step.tokens * n_layers * spec.dim,
                    .out = vectors_});
}

const float* PerLayerInputs::of_layer(const Step& step, int64_t layer) const {
  step.backend.gather_rows({.x = vectors_,
                            .rows = {.first = layer, .step = n_layers},
                            .n = step.tokens,
                            .dim = spec.dim,
                            .out = of_layer_});
  return of_layer_;
}

void PerLayerBlock::plan(Workspace& workspace, int64_t max_tokens) {
  gate_out_ = workspace.take<float>(max_tokens * spec.dim);
}

void PerLayerBlock::run(const Step& step, const float* residual, const float* vectors,
                        float* out) const {
  project(step, residual, {{gate, gate_out_}});
  step.backend.glu({.activate = spec.activate,
                    .gate = gate_out_,
                    .up = vectors,
                    .n = step.tokens * spec.dim,
                    .out = gate_out_});
  project(step, gate_out_, {{projection, out}});
}

}  // namespace tq
