// GGUF files of Phi-3 and Phi-4.
#include "io/gguf/arch/archs.h"
#include "io/gguf/arch/decoder.h"

namespace tq {
namespace {

constexpr GgufTensorRule kPhi3Tensors[] = {
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
    {"blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight"},
    {"blk.{}.ffn_norm.weight", "model.layers.{}.post_attention_layernorm.weight"},
    {"rope_factors_long.weight", "", GgufTransform::kDrop},
    {"rope_factors_short.weight", "", GgufTransform::kDrop},
    {"blk.{}.attn_qkv.weight", "model.layers.{}.self_attn.qkv_proj.weight"},
    {"blk.{}.attn_output.weight", "model.layers.{}.self_attn.o_proj.weight"},
    {"blk.{}.ffn_up.weight", "model.layers.{}.mlp.gate_up_proj.weight"},
    {"blk.{}.ffn_down.weight", "model.layers.{}.mlp.down_proj.weight"},
};

// The numbers that longrope divides frequencies by are tensors.
Json longrope(GgufMetadata& metadata, int64_t n_pairs) {
  const GgufFile& file = metadata.file();
  Json rope = {{"rope_type", "longrope"}};
  rope["short_factor"] = gguf_plain_vector(file, "rope_factors_short.weight", n_pairs);
  rope["long_factor"] = gguf_plain_vector(file, "rope_factors_long.weight", n_pairs);
  if (const auto attention = metadata.positive_if("rope.scaling.attn_factor")) {
    rope["attention_factor"] = *attention;
  }
  return rope;
}

Json phi3_config(GgufMetadata& metadata) {
  Json config = gguf_decoder_config(metadata, {"phi3", "Phi3ForCausalLM", true});
  const auto n_heads = config["num_attention_heads"].get<int64_t>();
  config["intermediate_size"] = metadata.size("feed_forward_length");
  config["num_key_value_heads"] = metadata.size_if("attention.head_count_kv").value_or(n_heads);
  const int64_t head_dim = gguf_head_dim(metadata, config);
  config["head_dim"] = head_dim;
  const int64_t rope_dim = metadata.size_if("rope.dimension_count").value_or(head_dim);
  config["partial_rotary_factor"] = static_cast<double>(rope_dim) / static_cast<double>(head_dim);
  // No window, which Phi-4's files write as 0.
  const auto window = metadata.integer_if("attention.sliding_window").value_or(0);
  config["sliding_window"] = window > 0 ? Json(window) : Json(nullptr);
  config["hidden_act"] = "silu";
  const auto context = metadata.size_if("rope.scaling.original_context_length");
  config["original_max_position_embeddings"] =
      context ? Json(*context) : config["max_position_embeddings"];
  const auto has = [&](const char* name) { return metadata.file().find_tensor(name) != nullptr; };
  if (has("rope_factors_long.weight") || has("rope_factors_short.weight")) {
    const auto type = metadata.string_if("rope.scaling.type");
    if (type && *type != "longrope" && *type != "none") {
      metadata.unsupported("rope.scaling.type", std::string(*type));
    }
    metadata.ignore("rope.scaling.finetuned");
    config["rope_scaling"] = longrope(metadata, rope_dim / 2);
  } else {
    metadata.expect_number("rope.scaling.attn_factor", 1);
    if (!gguf_rope_scaling(metadata).is_null()) metadata.unsupported("rope.scaling.type", "set");
    config["rope_scaling"] = nullptr;
  }
  return config;
}

}  // namespace

const GgufArch kGgufPhi3 = {"phi3", kPhi3Tensors, phi3_config};

}  // namespace tq
