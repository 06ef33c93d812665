// Arguments of elementwise operators; of pointers and matrices see rows.h.
#pragma once

#include <cstdint>

#include "kernels/op_types.h"

namespace tq {

// out = activate(gate) * up, elementwise.
struct GluArgs {
  Activate activate;
  const float* gate;  // [tokens, width]
  const float* up;
  int64_t n;   // tokens * width
  float* out;  // may equal gate or up
};

// out = (u + 1) * g * sigmoid(alpha * g) of g = min(gate, limit) and u = up clamped to
// [-limit, limit], elementwise (gpt-oss).
struct ClampedGluArgs {
  const float* gate;  // [tokens, width]
  const float* up;
  int64_t n;  // tokens * width
  float alpha;
  float limit;
  float* out;  // may equal gate or up
};

// out = (a + b) * scale.
struct AddArgs {
  const float* a;
  const float* b;
  float scale = 1;
  int64_t n;
  float* out;  // may equal a or b
};

// x[r, :] = x[r, :] * sigmoid(gate[r, :]), in place; or of one number for the whole row.
struct SigmoidGateArgs {
  float* x;           // [rows, dim]
  const float* gate;  // rows of dim numbers, or of one, gate_stride apart
  int64_t rows;
  int64_t dim;
  int64_t gate_stride;
  bool per_row = false;  // one number for a row
};

// x = cap * tanh(x / cap), in place.
struct SoftcapArgs {
  float* x;
  int64_t n;
  float cap;
};

}  // namespace tq
