// What each tensor of a checkpoint is for: by the names that its architecture gives (TensorNames),
// and for what no architecture here knows, by the names that checkpoints commonly have.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/arch/registry.h"
#include "tensor/dtype.h"

namespace tq {

enum class TensorRole : uint8_t {
  kEmbedding,
  kPerLayerTable,  // of per-layer inputs
  kHead,
  kAttention,        // projections that have no role of their own below
  kKeysValues,       // makes keys or values, few where heads share them
  kLatentExpansion,  // makes all heads' keys and values of one latent vector
  kOutput,           // of attention
  kRecurrent,        // projections of layers that keep a state, their output too
  kRecurrence,       // what else such layers have: convolution, decay
  kMlp,
  kExperts,
  kPerLayerProjection,  // of per-layer inputs
  kRouter,
  kNorm,  // and scales of layers
  kBias,
  kTower,  // of images and sound, with its projectors
  kOther,
};

// The number in "<layers>7.mlp..."; nothing for other names.
std::optional<int64_t> layer_number(std::string_view name, std::string_view layers);

constexpr int64_t kMostLayer = 1'000'000;  // a larger number is no layer's
// The layer in a tensor's HF name ("model.layers.7.mlp.up_proj.weight"); -1 outside of layers.
int64_t layer_of(std::string_view name);

// Immutable after construction, thread safe.
class TensorRoles {
 public:
  // By the config's architecture; one that is not known has none but the common names.
  explicit TensorRoles(const Json& config);

  // Of the tensor's HF name; stacks of experts are known by their shape too.
  TensorRole role(std::string_view name, const Shape& shape) const;

 private:
  std::vector<TensorNames::Place> places_;                // empty: no architecture
  std::string experts_;                                   // what names of experts begin with
  std::map<std::string, TensorRole, std::less<>> inner_;  // by name without body and layer
};

}  // namespace tq
