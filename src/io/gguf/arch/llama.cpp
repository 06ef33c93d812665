// GGUF files whose rows of queries and keys are permuted: llama (Llama 1 to 3, SmolLM2, Mistral),
// mistral3 (Ministral 3) and smollm3.
#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "io/gguf/arch/archs.h"
#include "io/gguf/arch/decoder.h"

namespace tq {
namespace {

constexpr GgufTensorRule kLlamaTensors[] = {
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
    {"rope_freqs.weight", "", GgufTransform::kDrop},
    {"blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight"},
    {"blk.{}.attn_q.weight", "model.layers.{}.self_attn.q_proj.weight", GgufTransform::kUnpermuteQ},
    {"blk.{}.attn_k.weight", "model.layers.{}.self_attn.k_proj.weight", GgufTransform::kUnpermuteK},
    {"blk.{}.attn_v.weight", "model.layers.{}.self_attn.v_proj.weight"},
    {"blk.{}.attn_output.weight", "model.layers.{}.self_attn.o_proj.weight"},
    {"blk.{}.ffn_norm.weight", "model.layers.{}.post_attention_layernorm.weight"},
    {"blk.{}.ffn_gate.weight", "model.layers.{}.mlp.gate_proj.weight"},
    {"blk.{}.ffn_up.weight", "model.layers.{}.mlp.up_proj.weight"},
    {"blk.{}.ffn_down.weight", "model.layers.{}.mlp.down_proj.weight"},
    {"blk.{}.attn_q.bias", "model.layers.{}.self_attn.q_proj.bias", GgufTransform::kUnpermuteQ},
    {"blk.{}.attn_k.bias", "model.layers.{}.self_attn.k_proj.bias", GgufTransform::kUnpermuteK},
    {"blk.{}.attn_v.bias", "model.layers.{}.self_attn.v_proj.bias"},
    {"blk.{}.attn_output.bias", "model.layers.{}.self_attn.o_proj.bias"},
    {"blk.{}.ffn_gate.bias", "model.layers.{}.mlp.gate_proj.bias"},
    {"blk.{}.ffn_up.bias", "model.layers.{}.mlp.up_proj.bias"},
    {"blk.{}.ffn_down.bias", "model.layers.{}.mlp.down_proj.bias"},
};

struct Llama3Scaling {
  double factor;
  double low_freq_factor = 1;
  double high_freq_factor = 4;
  double original_context = 8192;
};

// What "llama3" scaling divides the frequency of a rotated pair by, from its wavelength.
double llama3_divisor(const Llama3Scaling& scaling, double wavelength) {
  const double turns = scaling.original_context / wavelength;  // within the original context
  if (turns > scaling.high_freq_factor) return 1;
  if (turns < scaling.low_freq_factor) return scaling.factor;
  const double blend =
      (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
  return 1 / ((1 - blend) / scaling.factor + blend);
}

// Converters store the divisors that Llama 3's scaling comes to, not its parameters. The largest
// divisor is the factor; the other parameters are those of every Llama 3 so far. Divisors that they
// do not reproduce are refused.
Json llama3_rope_scaling(const GgufFile& file, const Json& config) {
  const auto n_pairs = config["head_dim"].get<int64_t>() / 2;
  const std::vector<float> divisors = gguf_plain_vector(file, "rope_freqs.weight", n_pairs);
  const Llama3Scaling scaling{*std::max_element(divisors.begin(), divisors.end())};
  const auto theta = config["rope_theta"].get<double>();
  for (int64_t i = 0; i < n_pairs; ++i) {
    const double pair = static_cast<double>(i) / static_cast<double>(n_pairs);
    const double wavelength = 2 * std::numbers::pi * std::pow(theta, pair);
    const double expected = llama3_divisor(scaling, wavelength);
    const double stored = divisors[static_cast<size_t>(i)];
    if (!(std::abs(stored - expected) <= 1e-3 * expected)) {
      fail(ErrorCode::kUnsupported,
           "{}: rope_freqs.weight is not the rope scaling of Llama 3 (pair {} is divided by {}, "
           "not {})",
           file.name(), i, stored, expected);
    }
  }
  return {{"rope_type", "llama3"},
          {"factor", scaling.factor},
          {"low_freq_factor", scaling.low_freq_factor},
          {"high_freq_factor", scaling.high_freq_factor},
          {"original_max_position_embeddings", static_cast<int64_t>(scaling.original_context)}};
}

// Activation, biases and the scaling of Llama 3.
void add_llama_parts(GgufMetadata& metadata, Json& config) {
  config["hidden_act"] = "silu";
  // As Llama's classes have biases: in all four projections, in all three. Others are used too.
  const auto has = [&](const char* name) { return metadata.file().find_tensor(name) != nullptr; };
  config["attention_bias"] = has("blk.0.attn_q.bias") && has("blk.0.attn_output.bias");
  config["mlp_bias"] = has("blk.0.ffn_gate.bias") && has("blk.0.ffn_down.bias");
  if (metadata.file().find_tensor("rope_freqs.weight") != nullptr) {
    if (!config["rope_scaling"].is_null()) {
      metadata.unsupported("rope.scaling.type", "set while there is a rope_freqs.weight too");
    }
    config["rope_scaling"] = llama3_rope_scaling(metadata.file(), config);
  }
  metadata.expect_zero("expert_count");
  metadata.expect_zero("expert_used_count");
}

Json llama_config(GgufMetadata& metadata) {
  Json config = gguf_decoder_config(metadata, {"llama", "LlamaForCausalLM"});
  add_llama_parts(metadata, config);
  return config;
}

// Ministral 3: yarn of other mscales, and queries that are scaled by their position.
Json mistral3_config(GgufMetadata& metadata) {
  Json config = gguf_decoder_config(metadata, {"ministral3", "Ministral3ForCausalLM"});
  config.erase("attention_bias");
  config["hidden_act"] = "silu";
  config["sliding_window"] = nullptr;
  metadata.expect_zero("attention.sliding_window");
  metadata.expect_zero("expert_count");
  metadata.expect_zero("expert_used_count");
  if (metadata.file().find_tensor("rope_freqs.weight") != nullptr) {
    metadata.unsupported("rope_freqs.weight", "a tensor of the file");
  }
  Json& scaling = config["rope_scaling"];
  const auto needs_yarn = [&](const char* key) {
    if (scaling.is_null() || scaling["rope_type"] != "yarn") {
      metadata.unsupported(key, "set without yarn");
    }
  };
  const double all_dim = metadata.number_if("rope.scaling.yarn_log_multiplier").value_or(0);
  if (all_dim != 0) {
    needs_yarn("rope.scaling.yarn_log_multiplier");
    scaling["mscale"] = 1.0;  // the file does not say; llama.cpp takes it to be so
    scaling["mscale_all_dim"] = all_dim;
  }
  const double beta = metadata.number_if("attention.temperature_scale").value_or(0);
  if (beta != 0) {
    needs_yarn("attention.temperature_scale");
    scaling["llama_4_scaling_beta"] = beta;
  }
  if (scaling.is_null()) scaling = {{"rope_type", "default"}};
  return config;
}

// Files do not say which layers rotate: every fourth does not, as in the published model.
Json smollm3_config(GgufMetadata& metadata) {
  Json config = gguf_decoder_config(metadata, {"smollm3", "SmolLM3ForCausalLM"});
  add_llama_parts(metadata, config);
  config["no_rope_layer_interval"] = 4;
  return config;
}

}  // namespace

const GgufArch kGgufLlama = {"llama", kLlamaTensors, llama_config};
const GgufArch kGgufMistral3 = {"mistral3", kLlamaTensors, mistral3_config};
const GgufArch kGgufSmolLm3 = {"smollm3", kLlamaTensors, smollm3_config};

}  // namespace tq
