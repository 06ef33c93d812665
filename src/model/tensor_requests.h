// The tensors a ModelSpec needs: names and shapes as a checkpoint must have them, and where in the
// decoder's weights each goes. Used while a model loads, by one thread.
#pragma once

#include <string>
#include <vector>

#include "model/weights.h"

namespace tq {

// A matrix or a vector; exactly one of the targets is set.
struct TensorRequest {
  std::string name;
  Shape shape;
  WeightView* matrix = nullptr;
  const float** vector = nullptr;
  float offset = 0;                    // added to every element of the vector
  const TensorEntry* entry = nullptr;  // once found
};

// Makes weights.layers from the spec and lists every tensor to be loaded into `weights`, which must
// stay where it is until they are.
std::vector<TensorRequest> request_tensors(const ModelSpec& spec, const TensorNames& names,
                                           const TensorNames::Place& place,
                                           DecoderWeights& weights);

}  // namespace tq
