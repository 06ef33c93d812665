// Tensors of a checkpoint that a model does not ask for: what they are, and whether leaving them
// out could change what is computed. Used while a model loads or is described, by one thread.
#pragma once

#include <vector>

#include "io/checkpoint.h"
#include "model/tensor_requests.h"

namespace tq {

struct LeftoverContext {
  const Checkpoint& checkpoint;
  const ModelSpec& spec;
  const TensorNames& names;
  const TensorNames::Place& place;
};

// Throws kUnsupported, naming it, for a trained tensor of the text decoder that no request is for:
// the mathematics it belongs to would be left out. With `tell`, tensors that play no part in text
// are told on the log by kind, and all others are warned of.
void check_leftovers(const LeftoverContext& context, const std::vector<TensorRequest>& requests,
                     bool tell);

}  // namespace tq
