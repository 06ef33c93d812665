// What the layers of one forward pass share, and the linear map they are made of. Plain data valid
// during one pass; the decoder's thread only.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>

#include "backend/operators.h"

namespace tq {

struct RopeTable {
  float* cos;  // [tokens, n_pairs]
  float* sin;
  int64_t n_pairs;
  bool interleaved;
};

// Cosines and sines of all positions of a rope: KeyBias::angles. Null where no layer needs them.
struct KeyAngles {
  float* angles = nullptr;
  int64_t stride = 0;
};

struct Step {
  Operators& backend;
  int64_t tokens = 0;
  RaggedBatch batch{};
  const int32_t* positions = nullptr;  // [tokens]
  const int64_t* slots = nullptr;  // [tokens], where this step's keys and values go, as in batch
  const int64_t* near_slots = nullptr;    // likewise, of near pages
  std::span<const RopeTable> ropes;       // as ModelSpec::ropes
  std::span<const KeyAngles> key_angles;  // likewise
  float norm_eps = 0;
  void* activation = nullptr;       // storage for the input of the matmul under way
  void* side_activation = nullptr;  // likewise, for what runs beside the others
  void* attention = nullptr;        // workspace of attention

  // The step for operators that Operators::run_beside may run beside others.
  Step beside() const {
    Step side = *this;
    side.activation = side_activation;
    return side;
  }
};

// What a block of a layer reads of the residual stream: rows after a norm, and those in the form
// that the block's first product with them takes.
struct BlockInput {
  const float* rows;  // [tokens, hidden]
  Activation activation;
};
using BlockInputs = std::span<const BlockInput>;

// A block asks for its inputs: one for each norm of the stream that it reads.
struct InputRequest {
  const float* norm_weight;  // [hidden]
  const WeightView* reader;  // whose form the activation takes
};
using InputRequests = std::span<const InputRequest>;

// What a block returns; the decoder adds it to the residual stream.
struct BlockResults {
  BlockResult results[kMaxBlockResults];
  int n = 0;
};

struct Linear {
  WeightView weight;
  const float* bias = nullptr;  // [rows] or null
};

struct Projection {
  const Linear& linear;
  float* out;  // [tokens, rows]
};

// Runs linears that read the same x [tokens, in]. x is brought into the form a weight needs once
// for each distinct form, not once a weight; not at all where `x` brings it.
void project(const Step& step, const float* x, std::initializer_list<Projection> projections);
void project(const Step& step, const BlockInput& x, std::initializer_list<Projection> projections);

// What brings `rows` rows of x [rows, weight.in] into the form that products with the weight need,
// in the step's storage.
PrepareArgs rows_for(const Step& step, const WeightView& weight, const float* x, int64_t rows);
// x [rows, weight.in] in the form that products with the weight need, in the step's storage: valid
// until the next one is made.
Activation prepare_input(const Step& step, const WeightView& weight, const float* x, int64_t rows);
// The same, if it is not what the block's input brings.
Activation prepare_input(const Step& step, const WeightView& weight, const BlockInput& x);
// True when an activation made for one serves the other.
bool same_input(const WeightView& a, const WeightView& b);

// out = norm of each of `rows` rows of x; out may be x.
struct Norm {
  const float* weight;  // [dim] or null for 1
  int64_t dim;
  float eps = 0;       // 0: the step's
  int64_t stride = 0;  // of the rows in elements; 0: dim
};
void rms_norm(const Step& step, const Norm& norm, const float* x, int64_t rows, float* out);

}  // namespace tq
