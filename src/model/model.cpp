#include "model/model.h"

#include <utility>

#include "base/error.h"
#include "model/arch/registry.h"
#include "model/decoder.h"
#include "model/model_meter.h"
#include "model/weights.h"

namespace tq {

std::unique_ptr<Model> Model::load(const Checkpoint& checkpoint, Backend& backend,
                                   const LoadOptions& options) {
  const Architecture& arch = find_architecture(checkpoint);
  ModelSpec spec = arch.make_spec(checkpoint);
  DecoderWeights weights = load_weights(checkpoint, spec, arch.tensor_names(), backend, options);
  return std::make_unique<Decoder>(std::move(spec), std::move(weights), backend, options);
}

ModelSize Model::measure(const Checkpoint& checkpoint, const Backend& backend,
                         const LoadOptions& options) {
  return ModelMeter(checkpoint, backend, options)
      .size(options.max_context, options.max_batch_tokens);
}

void Model::next_tokens(Batch /*batch*/, KvCache& /*kv*/, const TokenChoice& /*choice*/,
                        std::span<int32_t> /*tokens*/) {
  fail(ErrorCode::kInternal, "this model does not choose tokens");
}

void Model::exclude_tokens(std::span<const int32_t> /*ids*/) {}

}  // namespace tq
