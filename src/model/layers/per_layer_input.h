// Per-layer inputs (Gemma 4 E): vectors made once a step from the tokens' ids and embeddings, and
// the block at the end of every layer that reads its own. Spec and weights are const after loading;
// scratch is the decoder's, so one thread runs it.
#pragma once

#include "model/layers/step.h"
#include "model/spec.h"
#include "model/workspace.h"

namespace tq {

struct PerLayerInputs {
  PerLayerInputSpec spec;
  int64_t n_layers = 0;
  int64_t hidden = 0;
  WeightView table;             // [vocab, n_layers * dim]
  Linear projection;            // [n_layers * dim, hidden]
  const float* norm = nullptr;  // [dim]

  void plan(Workspace& workspace, int64_t max_tokens);
  // embedded: the scaled embeddings [tokens, hidden].
  void make(const Step& step, const int32_t* ids, const float* embedded) const;
  // The vectors of a layer, [tokens, dim]; valid until the next call.
  const float* of_layer(const Step& step, int64_t layer) const;

 private:
  float* from_ids_ = nullptr;  // [tokens, n_layers, dim]
  float* vectors_ = nullptr;   // likewise
  float* of_layer_ = nullptr;  // [tokens, dim]
};

// projection(activate(gate(residual)) * vector).
struct PerLayerBlock {
  PerLayerInputSpec spec;
  Linear gate;                       // [dim, hidden]
  Linear projection;                 // [hidden, dim]
  const float* post_norm = nullptr;  // [hidden]

  void plan(Workspace& workspace, int64_t max_tokens);
  // vectors: of the layer, [tokens, dim]. The result is in `out`.
  void run(const Step& step, const float* residual, const float* vectors, float* out) const;

 private:
  float* gate_out_ = nullptr;  // [tokens, dim]
};

}  // namespace tq
