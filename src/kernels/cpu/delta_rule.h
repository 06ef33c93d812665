// What the kernels of layers with a state share: the tokens of a sequence in a step, and the gates,
// query and key of one token and head. Plain data and functions of their arguments.
#pragma once

#include <cstdint>

#include "kernels/ops/recurrent.h"

namespace tq {

struct StepTokens {
  int64_t first;  // of the step's tokens
  int64_t n;
  bool fresh;  // the sequence begins here: its state is zeros
};
inline StepTokens step_tokens(const RaggedBatch& batch, int64_t seq) {
  const int64_t first = batch.q_begin[seq];
  const int64_t n = batch.q_begin[seq + 1] - first;
  return {first, n, batch.kv_len[seq] == n};
}

inline float* state_of(const DeltaRuleArgs& args, int64_t seq, int64_t head) {
  return args.state.first + args.batch.states[seq] * args.state.stride +
         head * args.k_dim * args.v_dim;
}

// One token of one value head.
struct DeltaToken {
  DeltaToken(const DeltaRuleArgs& args, int64_t token, int64_t head);

  float q[kMaxStateKey];  // normed and scaled
  float k[kMaxStateKey];  // normed
  const float* v;         // [v_dim]
  float decay;            // of the state
  float beta;             // of what is written
};

}  // namespace tq
