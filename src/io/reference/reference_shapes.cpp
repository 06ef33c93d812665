#include "io/reference/reference_shapes.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <span>
#include <string>
#include <vector>

#include "base/math.h"

namespace tq {
namespace {

constexpr int64_t kMaxWidth = int64_t{1} << 40;

std::vector<std::string_view> split(std::string_view name) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t dot = name.find('.');
    parts.push_back(name.substr(0, dot));
    if (dot == std::string_view::npos) return parts;
    name.remove_prefix(dot + 1);
  }
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// A positive integer of the config, nothing when absent or of another kind.
std::optional<int64_t> integer(const Json& config, const char* key) {
  const auto at = config.find(key);
  return at == config.end() ? std::nullopt : json_integer(*at, 1, kMaxWidth);
}

// The part of a multimodal config that describes the tower a tensor belongs to.
const Json& tower_config(const Json& config, std::string_view name) {
  const bool vision = contains(name, "vision") || contains(name, "visual");
  const bool audio = contains(name, "audio");
  const char* key = vision ? "vision_config" : audio ? "audio_config" : "text_config";
  const auto at = config.find(key);
  return at != config.end() && at->is_object() ? *at : config;
}

using Widths = std::vector<int64_t>;

Widths values(const Json& config, std::span<const char* const> keys) {
  Widths widths;
  for (const char* key : keys) {
    if (const auto value = integer(config, key)) widths.push_back(*value);
  }
  return widths;
}

// Head sizes that o_proj may see: of all layers, of Gemma 4's global layers (flat or in a map), of
// latent attention's values.
Widths head_dims(const Json& config) {
  constexpr std::array kKeys = {"v_head_dim", "head_dim", "global_head_dim"};
  Widths dims = values(config, kKeys);
  const auto layers = config.find("per_layer_config");
  if (layers != config.end() && layers->is_structured()) {
    for (const Json& layer : *layers) {
      if (!layer.is_object()) continue;
      if (const auto dim = integer(layer, "head_dim")) dims.push_back(*dim);
    }
  }
  const auto hidden = integer(config, "hidden_size");
  const auto heads = integer(config, "num_attention_heads");
  if (dims.empty() && hidden && heads) dims.push_back(*hidden / *heads);
  return dims;
}

Widths attention_widths(const Json& config) {
  Widths widths;
  const auto heads = integer(config, "num_attention_heads");
  for (const int64_t dim : head_dims(config)) {
    if (const auto width = heads ? checked_mul(*heads, dim) : std::nullopt) {
      widths.push_back(*width);
    }
  }
  return widths;
}

// What a down projection reads: the routed experts' width first for a routed expert, the dense or
// shared widths otherwise.
Widths ffn_widths(const Json& config, bool routed) {
  constexpr std::array kRouted = {"moe_intermediate_size", "expert_intermediate_size"};
  constexpr std::array kDense = {"intermediate_size", "shared_expert_intermediate_size"};
  const Widths expert = values(config, kRouted);
  const Widths dense = values(config, kDense);
  Widths widths = routed ? expert : dense;
  const Widths& other = routed ? dense : expert;
  widths.insert(widths.end(), other.begin(), other.end());
  const auto n_shared = integer(config, "n_shared_experts");
  for (const int64_t width : expert) {
    if (const auto all = n_shared ? checked_mul(*n_shared, width) : std::nullopt) {
      widths.push_back(*all);
    }
  }
  for (const int64_t width : dense) widths.push_back(2 * width);  // Gemma 4 E: double-wide MLP
  return widths;
}

constexpr std::array kHiddenReaders = {
    "q_proj",
    "k_proj",
    "v_proj",
    "qkv_proj",
    "qkv",
    "gate_proj",
    "up_proj",
    "w1",
    "w3",
    "w13",
    "w13_weight",
    "fc1",
    "gate",
    "gate_up_proj",
    "q_a_proj",
    "query",
    "key",
    "value",
    "kv_a_proj_with_mqa",
    "per_layer_input_gate",
    "proj",
    "eh_proj",
    "in_proj",
    "per_layer_model_projection",
};
constexpr std::array kFfnReaders = {"down_proj", "w2", "w2_weight", "fc2"};
constexpr std::array kAttentionReaders = {"o_proj", "out_proj"};

// The widths that a layer of this name may read; empty for names that say nothing.
Widths candidate_widths(const Json& config, std::string_view part, bool routed) {
  const auto is_one_of = [&](const auto& names) {
    return std::find(names.begin(), names.end(), part) != names.end();
  };
  if (is_one_of(kHiddenReaders)) {
    Widths widths = values(config, std::array{"hidden_size"});
    if (part == "eh_proj") {  // reads an embedding and a hidden state
      for (int64_t& width : widths) width *= 2;
    }
    return widths;
  }
  if (is_one_of(kFfnReaders)) return ffn_widths(config, routed);
  if (is_one_of(kAttentionReaders)) return attention_widths(config);
  if (part == "q_b_proj") return values(config, std::array{"q_lora_rank"});
  if (part == "kv_b_proj") return values(config, std::array{"kv_lora_rank"});
  if (part == "per_layer_projection") {
    return values(config, std::array{"hidden_size_per_layer_input"});
  }
  return {};
}

bool is_number(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return std::isdigit(static_cast<unsigned char>(c)) != 0;
  });
}

}  // namespace

std::optional<int64_t> reference_input_width(const Json& config, std::string_view name,
                                             int64_t padded, int64_t group) {
  const Json& tower = tower_config(config, name);
  const std::vector<std::string_view> parts = split(name);
  const bool routed = std::find(parts.begin(), parts.end(), "experts") != parts.end();
  // The last part that means something: "q_proj" in "q_proj.weight" and "q_proj.linear.weight".
  for (size_t i = parts.size(); i-- > 0;) {
    const Widths widths = candidate_widths(tower, parts[i], routed);
    for (const int64_t width : widths) {
      if (width > padded - group && width <= padded) return width;
    }
    if (!widths.empty()) return std::nullopt;
  }
  return std::nullopt;
}

bool is_expert_stack(std::string_view name) {
  const std::vector<std::string_view> parts = split(name);
  const auto experts = std::find(parts.begin(), parts.end(), "experts");
  return experts != parts.end() && experts + 1 != parts.end() && !is_number(experts[1]);
}

std::optional<int64_t> reference_expert_count(const Json& config) {
  constexpr std::array kKeys = {"num_experts", "n_routed_experts", "num_local_experts"};
  const Widths counts = values(tower_config(config, ""), kKeys);
  return counts.empty() ? std::nullopt : std::optional(counts[0]);
}

}  // namespace tq
