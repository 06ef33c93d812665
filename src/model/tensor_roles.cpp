#include "model/tensor_roles.h"

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <system_error>

#include "base/error.h"

namespace tq {
namespace {

struct NamedRole {
  std::string_view TensorNames::*name;
  TensorRole role;
};
// Matrices, with a ".weight" and perhaps a ".bias".
constexpr NamedRole kMatrices[] = {
    {&TensorNames::embedding, TensorRole::kEmbedding},
    {&TensorNames::q, TensorRole::kAttention},
    {&TensorNames::k, TensorRole::kKeysValues},
    {&TensorNames::v, TensorRole::kKeysValues},
    {&TensorNames::o, TensorRole::kOutput},
    {&TensorNames::qkv, TensorRole::kAttention},
    {&TensorNames::gate_up, TensorRole::kMlp},
    {&TensorNames::q_a, TensorRole::kAttention},
    {&TensorNames::q_b, TensorRole::kAttention},
    {&TensorNames::kv_a, TensorRole::kKeysValues},
    {&TensorNames::kv_b, TensorRole::kLatentExpansion},
    {&TensorNames::delta_qkv, TensorRole::kRecurrent},
    {&TensorNames::delta_z, TensorRole::kRecurrent},
    {&TensorNames::delta_out, TensorRole::kRecurrent},
    {&TensorNames::delta_a, TensorRole::kRouter},
    {&TensorNames::delta_b, TensorRole::kRouter},
    {&TensorNames::delta_conv, TensorRole::kRecurrence},
    {&TensorNames::gate, TensorRole::kMlp},
    {&TensorNames::up, TensorRole::kMlp},
    {&TensorNames::down, TensorRole::kMlp},
    {&TensorNames::router, TensorRole::kRouter},
    {&TensorNames::shared_gate, TensorRole::kMlp},
    {&TensorNames::shared_up, TensorRole::kMlp},
    {&TensorNames::shared_down, TensorRole::kMlp},
    {&TensorNames::shared_expert_gate, TensorRole::kRouter},
    {&TensorNames::ple_embedding, TensorRole::kPerLayerTable},
    {&TensorNames::ple_model_projection, TensorRole::kPerLayerProjection},
    {&TensorNames::ple_gate, TensorRole::kPerLayerProjection},
    {&TensorNames::ple_projection, TensorRole::kPerLayerProjection},
};
constexpr std::string_view TensorNames::*kNorms[] = {
    &TensorNames::final_norm,
    &TensorNames::input_norm,
    &TensorNames::q_norm,
    &TensorNames::k_norm,
    &TensorNames::q_a_norm,
    &TensorNames::kv_a_norm,
    &TensorNames::ffn_norm,
    &TensorNames::post_attention_norm,
    &TensorNames::post_ffn_norm,
    &TensorNames::mlp_post_norm,
    &TensorNames::moe_pre_norm,
    &TensorNames::moe_post_norm,
    &TensorNames::delta_norm,
    &TensorNames::ple_post_norm,
    &TensorNames::ple_projection_norm,
};
// Whole names.
constexpr NamedRole kWhole[] = {
    {&TensorNames::delta_a_log, TensorRole::kRecurrence},
    {&TensorNames::delta_dt_bias, TensorRole::kRecurrence},
    {&TensorNames::selection_bias, TensorRole::kRouter},
    {&TensorNames::sinks, TensorRole::kBias},
    {&TensorNames::router_scale, TensorRole::kRouter},
    {&TensorNames::expert_scale, TensorRole::kRouter},
    {&TensorNames::output_scale, TensorRole::kNorm},
};

// Null where the config names no architecture that is known.
const Architecture* architecture_of(const Json& config) {
  try {
    return &find_architecture(config);
  } catch (const Error&) {
    return nullptr;
  }
}

// Without "layers.<i>.", if it begins so.
std::string_view inside_layer(std::string_view name) {
  constexpr std::string_view kLayers = "layers.";
  if (!name.starts_with(kLayers)) return name;
  const size_t dot = name.find('.', kLayers.size());
  return dot == std::string_view::npos ? name : name.substr(dot + 1);
}

bool has(std::string_view name, std::initializer_list<std::string_view> parts) {
  return std::any_of(parts.begin(), parts.end(), [name](std::string_view part) {
    return name.find(part) != std::string_view::npos;
  });
}

TensorRole common_role(std::string_view name, const Shape& shape) {
  if (has(name, {"vision", "visual.", "audio", "multi_modal_projector"})) return TensorRole::kTower;
  if (has(name, {".router.", ".gate.weight", ".e_score_correction_bias", "shared_expert_gate."})) {
    return TensorRole::kRouter;
  }
  if (has(name, {"norm", "layer_scalar"})) return TensorRole::kNorm;
  if (has(name, {"linear_attn."})) {
    if (has(name, {".in_proj_a.", ".in_proj_b.", ".in_proj_ba."})) return TensorRole::kRouter;
    return has(name, {"_proj"}) ? TensorRole::kRecurrent : TensorRole::kRecurrence;
  }
  if (name.ends_with("bias") || name.ends_with(".sinks")) return TensorRole::kBias;
  if (has(name, {"conv"}) || shape.size() < 2) return TensorRole::kOther;
  if (has(name, {"embed_tokens"})) {
    return has(name, {"_per_layer."}) ? TensorRole::kPerLayerTable : TensorRole::kEmbedding;
  }
  if (has(name, {"lm_head.", "shared_head.head."})) return TensorRole::kHead;
  if (has(name, {".experts."}) ||
      (shape.size() == 3 && has(name, {"w13", "w2", "gate_up_proj", "down_proj"}))) {
    return TensorRole::kExperts;
  }
  if (has(name, {"attn.", "attention."})) {
    if (has(name, {"kv_b_proj."})) return TensorRole::kLatentExpansion;
    if (has(name, {".k_proj.", ".v_proj.", ".kv_a_proj"})) return TensorRole::kKeysValues;
    return has(name, {".o_proj."}) ? TensorRole::kOutput : TensorRole::kAttention;
  }
  if (has(name, {"mlp.", "feed_forward.", "shared_expert"})) return TensorRole::kMlp;
  return has(name, {".per_layer_"}) ? TensorRole::kPerLayerProjection : TensorRole::kOther;
}

}  // namespace

std::optional<int64_t> layer_number(std::string_view name, std::string_view layers) {
  if (!name.starts_with(layers)) return std::nullopt;
  name.remove_prefix(layers.size());
  int64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end == name.data() + name.size() || *end != '.') return std::nullopt;
  return number;
}

int64_t layer_of(std::string_view name) {
  constexpr std::string_view kLayers = "layers.";
  const size_t found = name.find(kLayers);
  if (found == std::string_view::npos) return -1;
  const int64_t layer = layer_number(name.substr(found), kLayers).value_or(-1);
  return layer >= 0 && layer <= kMostLayer ? layer : -1;
}

TensorRoles::TensorRoles(const Json& config) {
  const Architecture* architecture = architecture_of(config);
  if (architecture == nullptr) return;
  const TensorNames names = architecture->tensor_names();
  places_ = names.places;
  experts_ = std::string(names.experts) + ".";
  const auto add = [this](std::string_view name, std::string_view ending, TensorRole role) {
    if (!name.empty()) inner_[std::string(name) + std::string(ending)] = role;
  };
  for (const NamedRole& matrix : kMatrices) {
    add(names.*matrix.name, ".weight", matrix.role);
    add(names.*matrix.name, ".bias", TensorRole::kBias);
  }
  add(names.router, ".bias", TensorRole::kRouter);
  for (const auto norm : kNorms) add(names.*norm, ".weight", TensorRole::kNorm);
  for (const NamedRole& whole : kWhole) add(names.*whole.name, "", whole.role);
}

TensorRole TensorRoles::role(std::string_view name, const Shape& shape) const {
  for (const TensorNames::Place& place : places_) {
    if (name.starts_with(place.head) && name.substr(place.head.size()) == ".weight") {
      return TensorRole::kHead;
    }
    if (!name.starts_with(place.body)) continue;
    const std::string_view inner = inside_layer(name.substr(place.body.size()));
    if (const auto known = inner_.find(inner); known != inner_.end()) return known->second;
    if (inner.starts_with(experts_)) {
      return inner.ends_with("bias") ? TensorRole::kBias : TensorRole::kExperts;
    }
  }
  return common_role(name, shape);
}

}  // namespace tq
