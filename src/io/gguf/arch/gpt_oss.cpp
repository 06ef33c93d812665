// GGUF files of gpt-oss.
#include "io/gguf/arch/archs.h"
#include "io/gguf/arch/decoder.h"

namespace tq {
namespace {

constexpr GgufTensorRule kGptOssTensors[] = {
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
    {"blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight"},
    {"blk.{}.post_attention_norm.weight", "model.layers.{}.post_attention_layernorm.weight"},
    {"blk.{}.attn_sinks.weight", "model.layers.{}.self_attn.sinks"},
    {"blk.{}.attn_q.weight", "model.layers.{}.self_attn.q_proj.weight"},
    {"blk.{}.attn_q.bias", "model.layers.{}.self_attn.q_proj.bias"},
    {"blk.{}.attn_k.weight", "model.layers.{}.self_attn.k_proj.weight"},
    {"blk.{}.attn_k.bias", "model.layers.{}.self_attn.k_proj.bias"},
    {"blk.{}.attn_v.weight", "model.layers.{}.self_attn.v_proj.weight"},
    {"blk.{}.attn_v.bias", "model.layers.{}.self_attn.v_proj.bias"},
    {"blk.{}.attn_output.weight", "model.layers.{}.self_attn.o_proj.weight"},
    {"blk.{}.attn_output.bias", "model.layers.{}.self_attn.o_proj.bias"},
    {"blk.{}.ffn_gate_inp.weight", "model.layers.{}.mlp.router.weight"},
    {"blk.{}.ffn_gate_inp.bias", "model.layers.{}.mlp.router.bias"},
    {"blk.{}.ffn_gate_exps.weight", "model.layers.{}.mlp.experts.gate_proj.weight"},
    {"blk.{}.ffn_gate_exps.bias", "model.layers.{}.mlp.experts.gate_proj.bias"},
    {"blk.{}.ffn_up_exps.weight", "model.layers.{}.mlp.experts.up_proj.weight"},
    {"blk.{}.ffn_up_exps.bias", "model.layers.{}.mlp.experts.up_proj.bias"},
    {"blk.{}.ffn_down_exps.weight", "model.layers.{}.mlp.experts.down_proj.weight"},
    {"blk.{}.ffn_down_exps.bias", "model.layers.{}.mlp.experts.down_proj.bias"},
};

// Files say nothing of which layers slide (every other one, from the first), of the activation of
// the experts, and that yarn's range is not rounded: all as in the published models.
Json gpt_oss_config(GgufMetadata& metadata) {
  Json config = gguf_decoder_config(metadata, {"gpt_oss", "GptOssForCausalLM", true});
  const auto n_heads = config["num_attention_heads"].get<int64_t>();
  config["intermediate_size"] = metadata.size("expert_feed_forward_length");
  metadata.size_if("feed_forward_length");  // the same, or that of no layer
  config["num_key_value_heads"] = metadata.size_if("attention.head_count_kv").value_or(n_heads);
  const int64_t head_dim = gguf_head_dim(metadata, config);
  metadata.expect_size("rope.dimension_count", head_dim);
  config["head_dim"] = head_dim;
  config["num_local_experts"] = metadata.size("expert_count");
  config["num_experts_per_tok"] = metadata.size("expert_used_count");
  metadata.expect_size("expert_gating_func", 3);  // a softmax of the chosen
  config["sliding_window"] = metadata.size("attention.sliding_window");
  config["attention_bias"] = true;
  config["hidden_act"] = "silu";
  Json scaling = gguf_rope_scaling(metadata);
  if (scaling.is_null() || scaling["rope_type"] != "yarn") {
    metadata.unsupported("rope.scaling.type", "not yarn");
  }
  scaling["truncate"] = false;
  config["rope_scaling"] = std::move(scaling);
  return config;
}

}  // namespace

const GgufArch kGgufGptOss = {"gpt-oss", kGptOssTensors, gpt_oss_config};

}  // namespace tq
