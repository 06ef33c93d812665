// Arguments of the rotary embedding; of pointers and matrices see rows.h.
#pragma once

#include <cstdint>

namespace tq {

// cos/sin of position * inv_freq, computed in double and times `scale`, once a forward pass for
// each distinct rope.
struct RopeTableArgs {
  const int32_t* positions;  // [tokens]
  const float* inv_freq;     // [n_pairs]; 0 leaves a pair unrotated
  int64_t tokens;
  int64_t n_pairs;
  float* cos;  // [tokens, n_pairs]
  float* sin;
  float scale = 1;
};

// x[t, :] *= 1 + beta * ln(1 + floor(position / original)), in place (Llama 4's attention
// temperature, as Ministral 3's queries have it).
struct ScaleByPositionArgs {
  float* x;                  // [tokens, dim]
  const int32_t* positions;  // [tokens]
  int64_t tokens;
  int64_t dim;
  float beta;
  int64_t original;  // above 0
};

// Rotates in place the first 2 * n_pairs dims of each head: pairs (j, j + n_pairs), or (2j, 2j + 1)
// if interleaved.
struct RopeArgs {
  float* x;  // [tokens, heads, head_dim], tokens apart by token_stride elements
  int64_t tokens;
  int64_t heads;
  int64_t head_dim;  // elements from one head to the next
  int64_t token_stride;
  int64_t n_pairs;
  bool interleaved;
  const float* cos;  // [tokens, n_pairs]
  const float* sin;
};

}  // namespace tq
