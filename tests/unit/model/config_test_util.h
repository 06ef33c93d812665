// Shared by the config tests: specs from configs, what a spec adds up to, and refusals.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/error.h"
#include "model/arch/registry.h"
#include "model/tensor_requests.h"
#include "support/kv_formats.h"
#include "unit/model/model_test_util.h"

namespace tq::test {

inline ModelSpec make_spec(const Json& config) {
  return find_architecture(config).make_spec(config);
}

inline Json with(Json config, const std::string& key, const Json& value) {
  config[key] = value;
  return config;
}

inline void expect_refused(const Json& config, ErrorCode code, const std::string& part) {
  try {
    make_spec(config);
    ADD_FAILURE() << "accepted: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_THAT(error.what(), testing::HasSubstr(part));
  }
}

inline const GqaSpec& gqa(const ModelSpec& spec, size_t layer) {
  return std::get<GqaSpec>(spec.layers[layer].attention);
}
inline const MlpSpec& mlp(const ModelSpec& spec, size_t layer) {
  return std::get<MlpSpec>(spec.layers[layer].ffn);
}

// Elements of all tensors that loading asks for.
inline int64_t n_parameters(const Json& config) {
  MemoryCheckpoint nothing(*Golden("llama").checkpoint);
  nothing.contents().clear();
  nothing.reindex();
  const Architecture& arch = find_architecture(config);
  const ModelSpec spec = arch.make_spec(config);
  const TensorNames names = arch.tensor_names();
  const auto backend = make_backend(true);
  DecoderWeights weights;
  int64_t total = 0;
  for (const TensorRequest& request :
       request_tensors({spec, names, names.places[0], nothing, *backend}, weights)) {
    int64_t n = 1;
    for (const int64_t size : request.shape) n *= size;
    total += n;
  }
  return total;
}

// Of these, those that a decoded token does not use: experts that are not chosen and the rows of
// embedding tables, of which it needs one.
inline int64_t n_unused(const ModelSpec& spec) {
  int64_t total = spec.tied_head ? 0 : spec.vocab * spec.hidden;
  if (spec.per_layer_input) {
    total += spec.per_layer_input->vocab * spec.per_layer_input->dim *
             static_cast<int64_t>(spec.layers.size());
  }
  for (const LayerSpec& layer : spec.layers) {
    const auto* moe = std::get_if<MoeSpec>(&layer.ffn);
    if (const auto* both = std::get_if<MlpMoeSpec>(&layer.ffn)) moe = &both->moe;
    if (moe == nullptr) continue;
    const int64_t biases = moe->bias ? 2 * moe->width + spec.hidden : 0;
    total += (moe->n_experts - moe->top_k) * (3 * moe->width * spec.hidden + biases);
  }
  return total;
}

// Bytes of a bf16 KV cache for each token.
inline int64_t kv_bytes(const ModelSpec& spec) {
  return KvCache::bytes_per_token(spec.kv_layers(), fixtures::kKvBf16);
}

}  // namespace tq::test
