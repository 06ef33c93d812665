#include "model/model_meter.h"

#include <algorithm>
#include <utility>

#include "backend/counting_backend.h"
#include "model/arch/registry.h"
#include "model/decoder.h"
#include "model/weights.h"

namespace tq {

struct ModelMeter::State {
  State(const Backend& backend, const LoadOptions& load_options)
      : options(load_options), counter(backend) {
    options.progress = nullptr;
  }

  ModelSpec spec;
  LoadOptions options;
  CountingBackend counter;
  DecoderWeights weights;
  ModelSize size;  // but for scratch and cache
  int64_t encoder_bytes = 0;
};

ModelMeter::ModelMeter(const Checkpoint& checkpoint, const Backend& backend,
                       const LoadOptions& options)
    : state_(std::make_unique<State>(backend, options)) {
  State& state = *state_;
  const Architecture& arch = find_architecture(checkpoint);
  state.spec = arch.make_spec(checkpoint);
  state.weights = load_weights(checkpoint, state.spec, arch.tensor_names(), state.counter,
                               state.options, WeightValues::kNone);
  const bool on_host = backend.on_host();
  state.size.weight_bytes =
      on_host ? state.weights.size_bytes
              : state.counter.allocated_bytes() + backend.placed_bytes(state.counter.placed());
  state.size.mapped_bytes = on_host ? state.weights.mapped_bytes : 0;
  // What compressing takes is given back before scratch is allocated.
  state.encoder_bytes = state.weights.compressed_on_device ? backend.encoder_bytes() : 0;
}

ModelMeter::~ModelMeter() = default;

const ModelSpec& ModelMeter::spec() const { return state_->spec; }

ModelSize ModelMeter::size(int64_t max_context, int64_t max_batch_tokens) const {
  State& state = *state_;
  LoadOptions options = state.options;
  options.max_context = max_context;
  options.max_batch_tokens = max_batch_tokens;
  const int64_t before = state.counter.allocated_bytes();
  Decoder decoder(state.spec, std::move(state.weights), state.counter, std::move(options));
  ModelSize size = state.size;
  size.scratch_bytes = std::max(state.counter.allocated_bytes() - before, state.encoder_bytes);
  size.kv = decoder.kv_layout();
  state.weights = std::move(decoder).take_weights();
  return size;
}

}  // namespace tq
