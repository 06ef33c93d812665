#include "model/model.h"

#include <utility>

#include "model/arch/registry.h"
#include "model/decoder.h"
#include "model/weights.h"

namespace tq {
std::unique_ptr<Model> Model::load(const Checkpoint& checkpoint, Backend& backend,
                                   const LoadOptions& options) {
  const Architecture& arch = find_architecture(checkpoint.config());
  ModelSpec spec = arch.make_spec(checkpoint.config());
  DecoderWeights weights = load_weights(checkpoint, spec, arch.tensor_names(), backend, options);
  return std::make_unique<Decoder>(std::move(spec), std::move(weights), backend, options);
}

}  // namespace tq
