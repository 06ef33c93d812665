// GGUF files of Gemma 4's text models, dense, with experts (26B-A4B) and with per-layer inputs
// (E2B, E4B).
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "io/gguf/arch/archs.h"
#include "io/gguf/arch/decoder.h"

namespace tq {
namespace {

constexpr GgufTensorRule kGemma4Tensors[] = {
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
    {"rope_freqs.weight", "", GgufTransform::kDrop},
    {"per_layer_token_embd.weight", "model.embed_tokens_per_layer.weight"},
    {"per_layer_model_proj.weight", "model.per_layer_model_projection.weight"},
    {"per_layer_proj_norm.weight", "model.per_layer_projection_norm.weight"},
    {"blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight"},
    {"blk.{}.attn_q.weight", "model.layers.{}.self_attn.q_proj.weight"},
    {"blk.{}.attn_k.weight", "model.layers.{}.self_attn.k_proj.weight"},
    {"blk.{}.attn_v.weight", "model.layers.{}.self_attn.v_proj.weight"},
    {"blk.{}.attn_output.weight", "model.layers.{}.self_attn.o_proj.weight"},
    {"blk.{}.attn_q_norm.weight", "model.layers.{}.self_attn.q_norm.weight"},
    {"blk.{}.attn_k_norm.weight", "model.layers.{}.self_attn.k_norm.weight"},
    {"blk.{}.post_attention_norm.weight", "model.layers.{}.post_attention_layernorm.weight"},
    {"blk.{}.ffn_norm.weight", "model.layers.{}.pre_feedforward_layernorm.weight"},
    {"blk.{}.post_ffw_norm.weight", "model.layers.{}.post_feedforward_layernorm.weight"},
    {"blk.{}.post_ffw_norm_1.weight", "model.layers.{}.post_feedforward_layernorm_1.weight"},
    {"blk.{}.post_ffw_norm_2.weight", "model.layers.{}.post_feedforward_layernorm_2.weight"},
    {"blk.{}.pre_ffw_norm_2.weight", "model.layers.{}.pre_feedforward_layernorm_2.weight"},
    {"blk.{}.ffn_gate.weight", "model.layers.{}.mlp.gate_proj.weight"},
    {"blk.{}.ffn_up.weight", "model.layers.{}.mlp.up_proj.weight"},
    {"blk.{}.ffn_down.weight", "model.layers.{}.mlp.down_proj.weight"},
    {"blk.{}.ffn_gate_inp.weight", "model.layers.{}.router.proj.weight"},
    {"blk.{}.ffn_gate_inp.scale", "model.layers.{}.router.scale"},
    {"blk.{}.ffn_gate_up_exps.weight", "model.layers.{}.experts.gate_up_proj"},
    {"blk.{}.ffn_gate_exps.weight", "model.layers.{}.experts.gate_proj.weight"},
    {"blk.{}.ffn_up_exps.weight", "model.layers.{}.experts.up_proj.weight"},
    {"blk.{}.ffn_down_exps.weight", "model.layers.{}.experts.down_proj"},
    {"blk.{}.ffn_down_exps.scale", "model.layers.{}.router.per_expert_scale"},
    {"blk.{}.layer_output_scale.weight", "model.layers.{}.layer_scalar"},
    {"blk.{}.inp_gate.weight", "model.layers.{}.per_layer_input_gate.weight"},
    {"blk.{}.proj.weight", "model.layers.{}.per_layer_projection.weight"},
    {"blk.{}.post_norm.weight", "model.layers.{}.post_per_layer_input_norm.weight"},
};

// The two sizes of a list by layer: of sliding layers and of the others.
struct KindSizes {
  int64_t sliding;
  int64_t full;
};
KindSizes by_kind(GgufMetadata& metadata, const char* key, const Json& types) {
  const std::vector<int64_t> values = metadata.sizes(key, static_cast<int64_t>(types.size()));
  KindSizes sizes{0, 0};
  for (size_t i = 0; i < values.size(); ++i) {
    int64_t& size = types[i] == "sliding_attention" ? sizes.sliding : sizes.full;
    if (size != 0 && size != values[i]) {
      metadata.unsupported(key, "of several sizes for layers of one kind");
    }
    size = values[i];
  }
  if (sizes.sliding == 0) sizes.sliding = sizes.full;
  if (sizes.full == 0) sizes.full = sizes.sliding;
  return sizes;
}

// Converters write the proportional rope of full layers as divisors of the frequencies: 1 for the
// pairs that turn, then 1e30. Anything else is refused.
double turning_part(const GgufFile& file, int64_t head_dim) {
  const std::vector<float> divisors = gguf_plain_vector(file, "rope_freqs.weight", head_dim / 2);
  const auto turns =
      std::find_if(divisors.begin(), divisors.end(), [](float divisor) { return divisor != 1; });
  if (!std::all_of(turns, divisors.end(), [](float divisor) { return divisor >= 1e29f; })) {
    fail(ErrorCode::kUnsupported, "{}: rope_freqs.weight is not the proportional rope of Gemma 4",
         file.name());
  }
  return static_cast<double>(turns - divisors.begin()) / static_cast<double>(divisors.size());
}

// The width of the MLP: of layers that use another's keys and values perhaps twice that.
void add_widths(GgufMetadata& metadata, Json& config) {
  const auto n_layers = config["num_hidden_layers"].get<int64_t>();
  const auto n_shared = config["num_kv_shared_layers"].get<int64_t>();
  const std::vector<int64_t> widths = metadata.sizes("feed_forward_length", n_layers);
  const bool doubled = n_shared > 0 && n_shared < n_layers && widths.back() == 2 * widths.front();
  for (int64_t i = 0; i < n_layers; ++i) {
    const int64_t factor = doubled && i >= n_layers - n_shared ? 2 : 1;
    if (widths[static_cast<size_t>(i)] != factor * widths.front()) {
      metadata.unsupported("feed_forward_length", "of several widths");
    }
  }
  config["intermediate_size"] = widths.front();
  config["use_double_wide_mlp"] = doubled;
}

void add_experts(GgufMetadata& metadata, Json& config) {
  const int64_t n_experts = metadata.integer_if("expert_count").value_or(0);
  config["enable_moe_block"] = n_experts > 0;
  if (n_experts == 0) {
    metadata.ignore("expert_used_count");
    metadata.ignore("expert_feed_forward_length");
    return;
  }
  config["num_experts"] = n_experts;
  config["top_k_experts"] = metadata.size("expert_used_count");
  config["moe_intermediate_size"] = metadata.size("expert_feed_forward_length");
}

// Full layers whose keys are their values have no tensor of values.
bool full_keys_are_values(const GgufFile& file, const Json& types) {
  for (size_t i = 0; i < types.size(); ++i) {
    if (types[i] == "sliding_attention") continue;
    return file.find_tensor(fmt::format("blk.{}.attn_v.weight", i)) == nullptr;
  }
  return false;
}

void add_per_layer_inputs(GgufMetadata& metadata, Json& config) {
  const int64_t dim = metadata.integer_if("embedding_length_per_layer_input").value_or(0);
  config["hidden_size_per_layer_input"] = dim;
  const GgufTensor* table = metadata.file().find_tensor("per_layer_token_embd.weight");
  if (dim > 0 && table != nullptr && !table->shape.empty()) {
    config["vocab_size_per_layer_input"] = table->shape[0];
  }
}

Json gemma4_config(GgufMetadata& metadata) {
  Json config = gguf_decoder_config(metadata, {"gemma4_text", "Gemma4ForCausalLM", true});
  const auto n_layers = config["num_hidden_layers"].get<int64_t>();
  const Json types = gguf_layer_types(metadata, n_layers, 6);
  config["hidden_activation"] = "gelu_pytorch_tanh";
  config["sliding_window"] = metadata.size("attention.sliding_window");
  config["num_kv_shared_layers"] = metadata.integer_if("attention.shared_kv_layers").value_or(0);
  const KindSizes kv_heads = by_kind(metadata, "attention.head_count_kv", types);
  config["num_key_value_heads"] = kv_heads.sliding;
  config["num_global_key_value_heads"] = kv_heads.full;
  const int64_t global_dim = gguf_head_dim(metadata, config);
  const int64_t local_dim = metadata.size_if("attention.key_length_swa").value_or(global_dim);
  metadata.expect_size("attention.value_length_swa", local_dim);
  metadata.expect_size("rope.dimension_count", global_dim);
  metadata.expect_size("rope.dimension_count_swa", local_dim);
  config["head_dim"] = local_dim;
  config["global_head_dim"] = global_dim;
  const Json full_rope = {{"rope_type", "proportional"},
                          {"partial_rotary_factor", turning_part(metadata.file(), global_dim)},
                          {"rope_theta", config["rope_theta"]}};
  const Json local_rope = {
      {"rope_type", "default"},
      {"rope_theta", metadata.positive_if("rope.freq_base_swa").value_or(10000.0)}};
  config.erase("rope_theta");
  if (!gguf_rope_scaling(metadata).is_null()) metadata.unsupported("rope.scaling.type", "set");
  config["rope_parameters"] = {{"full_attention", full_rope}, {"sliding_attention", local_rope}};
  add_widths(metadata, config);
  add_experts(metadata, config);
  add_per_layer_inputs(metadata, config);
  config["attention_k_eq_v"] = full_keys_are_values(metadata.file(), types);
  config["final_logit_softcapping"] =
      optional_number(metadata.positive_if("final_logit_softcapping"));
  config["layer_types"] = types;
  return config;
}

}  // namespace

const GgufArch kGgufGemma4 = {"gemma4", kGemma4Tensors, gemma4_config};

}  // namespace tq
