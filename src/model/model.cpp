#include "model/model.h"

#include <algorithm>
#include <utility>

#include "backend/counting_backend.h"
#include "base/error.h"
#include "model/arch/registry.h"
#include "model/decoder.h"
#include "model/weights.h"

namespace tq {

std::unique_ptr<Model> Model::load(const Checkpoint& checkpoint, Backend& backend,
                                   const LoadOptions& options) {
  const Architecture& arch = find_architecture(checkpoint);
  ModelSpec spec = arch.make_spec(checkpoint.config());
  DecoderWeights weights = load_weights(checkpoint, spec, arch.tensor_names(), backend, options);
  return std::make_unique<Decoder>(std::move(spec), std::move(weights), backend, options);
}

ModelSize Model::measure(const Checkpoint& checkpoint, const Backend& backend,
                         const LoadOptions& options) {
  const Architecture& arch = find_architecture(checkpoint);
  ModelSpec spec = arch.make_spec(checkpoint.config());
  LoadOptions silent = options;
  silent.progress = nullptr;
  CountingBackend counter(backend);
  DecoderWeights weights =
      load_weights(checkpoint, spec, arch.tensor_names(), counter, silent, WeightValues::kNone);
  const int64_t beside_matrices = counter.allocated_bytes();
  ModelSize size;
  size.weight_bytes = backend.on_host() ? weights.size_bytes
                                        : beside_matrices + backend.placed_bytes(counter.placed());
  // What compressing takes is given back before scratch is allocated.
  const int64_t encoder_bytes = weights.compressed_on_device ? backend.encoder_bytes() : 0;
  const Decoder decoder(std::move(spec), std::move(weights), counter, silent);
  size.scratch_bytes = std::max(counter.allocated_bytes() - beside_matrices, encoder_bytes);
  size.kv = decoder.kv_layout();
  return size;
}

void Model::next_tokens(Batch /*batch*/, KvCache& /*kv*/, const TokenChoice& /*choice*/,
                        std::span<int32_t> /*tokens*/) {
  fail(ErrorCode::kInternal, "this model does not choose tokens");
}

void Model::exclude_tokens(std::span<const int32_t> /*ids*/) {}

}  // namespace tq
