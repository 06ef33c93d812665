// Arguments of products with weights and of what prepares their inputs; of pointers and matrices
// see rows.h.
#pragma once

#include <cstdint>

#include "format/traits.h"
#include "kernels/op_types.h"
#include "kernels/ops/rows.h"

namespace tq {

// An activation in the form a matmul reads: made once by Operators::prepare, shared by q, k and v
// or by gate and up. Exactly one of the representations is set, as the backend chose; what they
// hold is described for all rows there are, of which a matmul reads rows[0] .. rows[tokens - 1].
struct Activation {
  InputForm form = InputForm::kPlain;
  int64_t tokens = 0;
  int64_t in = 0;
  int64_t in_padded = 0;            // row stride in elements, but of plain rows, which is `in`
  int group = 0;                    // rotation group; 0 for plain
  const float* f32 = nullptr;       // [tokens, in_padded], or plain [tokens, in]
  const int8_t* q8 = nullptr;       // [tokens, in_padded] with
  const float* q8_scale = nullptr;  // [tokens, in_padded / group]
  RowMap rows;
  // Where a backend lets the product prepare its own input: the rows [tokens, in], source_stride
  // elements apart, which must stay as they are until then; q8 is room for them.
  const float* source = nullptr;
  int64_t source_stride = 0;
  // Rows that attention left in parts: source is then [tokens, n_parts, in], and this what they
  // are merged by.
  const float* part_stats = nullptr;  // [tokens, n_parts, 2]
  int n_parts = 0;
};

struct PrepareArgs {
  const float* x;  // [tokens, in]
  int64_t tokens;
  int64_t in;
  int64_t in_padded;  // rotated rows are zero-padded to this before the rotation
  int group;
  InputForm form;
  void* storage;  // activation_bytes(...) of scratch; unused for kPlain
};

struct EmbedArgs {
  WeightView table;    // [vocab, hidden]
  const int32_t* ids;  // [tokens], all in [0, vocab)
  int64_t tokens;
  float scale;
  float* out;  // [tokens, hidden]
};

// out[t, r] = sum_i x[t, i] * W[r, i] (+ bias[r]) (+ out[t, r] if accumulate)
struct MatmulArgs {
  WeightView weight;  // experts == 1
  Activation x;
  const float* bias = nullptr;  // [rows] or null
  bool accumulate = false;
  float* out;              // [tokens, rows]; the result of x's token t goes
  RowMap out_rows;         // to row out_rows[t],
  int64_t out_stride = 0;  // rows apart by this many elements; 0: weight.rows
};

// Equal matrices that need not lie together, such as one projection of every expert of a layer.
struct MatrixStack {
  WeightView matrix;                        // matrix 0; its format and sizes are those of all
  int64_t n = 0;                            // matrices
  const uint8_t* const* codes = nullptr;    // [n], as WeightView::codes
  const uint16_t* const* gains = nullptr;   // [n], as WeightView::gains; null without scales
  WeightView operator[](int64_t i) const {  // on the host only where the pointers are readable
    WeightView view = matrix;
    view.codes = codes[i];
    view.gains = gains == nullptr ? nullptr : gains[i];
    return view;
  }
};

// out[t, h, :] = W_h x[t, h, :]: a matrix of its own for every head.
struct HeadMatmulArgs {
  MatrixStack weights;     // [heads]
  Activation x;            // [tokens * heads, in]
  float* out;              // [tokens, heads, rows], vectors apart by out_stride elements
  int64_t out_stride = 0;  // 0: weight rows
};

// out = activate(gate x) * (up x), for a dense layer.
struct GatedMatmulArgs {
  WeightView gate;
  WeightView up;
  const float* gate_bias = nullptr;  // [rows] or null
  const float* up_bias = nullptr;
  Activation x;
  Activate activate;
  float* out;      // [tokens, rows]
  float* scratch;  // [tokens, rows]; may be written
};

}  // namespace tq
