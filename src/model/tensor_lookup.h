// Where a checkpoint has the tensors that a model needs, and that it has no others that matter.
// Used while a model loads or is described, by one thread.
#pragma once

#include <vector>

#include "io/checkpoint.h"
#include "model/tensor_requests.h"

namespace tq {

// request_tensors(), each found in the checkpoint. Tells on the log what is left out, and what is
// used against the config's word. Throws kNotFound listing missing tensors, kCorrupt naming a
// misshapen one, kUnsupported for a tensor of the decoder that the spec does not account for.
std::vector<TensorRequest> find_tensors(const Checkpoint& checkpoint, const ModelSpec& spec,
                                        const TensorNames& names, Backend& backend,
                                        DecoderWeights& weights, bool tell = true);

}  // namespace tq
