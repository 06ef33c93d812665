// GGUF files of Qwen: qwen2 (Qwen2, Qwen2.5), qwen3 and qwen3moe.
#include <fmt/format.h>

#include <string>

#include "io/gguf/arch/archs.h"
#include "io/gguf/arch/decoder.h"

namespace tq {
namespace {

constexpr GgufTensorRule kQwen2Tensors[] = {
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
    {"blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight"},
    {"blk.{}.attn_q.weight", "model.layers.{}.self_attn.q_proj.weight"},
    {"blk.{}.attn_q.bias", "model.layers.{}.self_attn.q_proj.bias"},
    {"blk.{}.attn_k.weight", "model.layers.{}.self_attn.k_proj.weight"},
    {"blk.{}.attn_k.bias", "model.layers.{}.self_attn.k_proj.bias"},
    {"blk.{}.attn_v.weight", "model.layers.{}.self_attn.v_proj.weight"},
    {"blk.{}.attn_v.bias", "model.layers.{}.self_attn.v_proj.bias"},
    {"blk.{}.attn_output.weight", "model.layers.{}.self_attn.o_proj.weight"},
    {"blk.{}.ffn_norm.weight", "model.layers.{}.post_attention_layernorm.weight"},
    {"blk.{}.ffn_gate.weight", "model.layers.{}.mlp.gate_proj.weight"},
    {"blk.{}.ffn_up.weight", "model.layers.{}.mlp.up_proj.weight"},
    {"blk.{}.ffn_down.weight", "model.layers.{}.mlp.down_proj.weight"},
};

// Files do not say whether layers slide; no published model's do.
Json qwen2_config(GgufMetadata& metadata) {
  Json config = gguf_decoder_config(metadata, {"qwen2", "Qwen2ForCausalLM"});
  config.erase("attention_bias");
  config["hidden_act"] = "silu";
  config["use_sliding_window"] = false;
  return config;
}

// Qwen3, dense and mixtures of experts.
constexpr GgufTensorRule kQwen3Tensors[] = {
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
    {"blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight"},
    {"blk.{}.ffn_norm.weight", "model.layers.{}.post_attention_layernorm.weight"},
    {"blk.{}.attn_q.weight", "model.layers.{}.self_attn.q_proj.weight"},
    {"blk.{}.attn_k.weight", "model.layers.{}.self_attn.k_proj.weight"},
    {"blk.{}.attn_v.weight", "model.layers.{}.self_attn.v_proj.weight"},
    {"blk.{}.attn_output.weight", "model.layers.{}.self_attn.o_proj.weight"},
    {"blk.{}.attn_q_norm.weight", "model.layers.{}.self_attn.q_norm.weight"},
    {"blk.{}.attn_k_norm.weight", "model.layers.{}.self_attn.k_norm.weight"},
    {"blk.{}.ffn_gate.weight", "model.layers.{}.mlp.gate_proj.weight"},
    {"blk.{}.ffn_up.weight", "model.layers.{}.mlp.up_proj.weight"},
    {"blk.{}.ffn_down.weight", "model.layers.{}.mlp.down_proj.weight"},
    {"blk.{}.ffn_gate_inp.weight", "model.layers.{}.mlp.gate.weight"},
    {"blk.{}.ffn_gate_exps.weight", "model.layers.{}.mlp.experts.gate_proj.weight"},
    {"blk.{}.ffn_up_exps.weight", "model.layers.{}.mlp.experts.up_proj.weight"},
    {"blk.{}.ffn_down_exps.weight", "model.layers.{}.mlp.experts.down_proj.weight"},
};

Json qwen3_config(GgufMetadata& metadata) {
  Json config = gguf_decoder_config(metadata, {"qwen3", "Qwen3ForCausalLM"});
  config["hidden_act"] = "silu";
  config["use_sliding_window"] = false;
  metadata.expect_zero("expert_count");
  metadata.expect_zero("expert_used_count");
  return config;
}

// Weights of the chosen experts are always normalised, and files do not say so. Dense layers are
// known by their tensors.
Json qwen3_moe_config(GgufMetadata& metadata) {
  Json config = gguf_decoder_config(metadata, {"qwen3_moe", "Qwen3MoeForCausalLM"});
  config["hidden_act"] = "silu";
  config["use_sliding_window"] = false;
  config["num_experts"] = metadata.size("expert_count");
  config["num_experts_per_tok"] = metadata.size("expert_used_count");
  config["moe_intermediate_size"] = metadata.size("expert_feed_forward_length");
  if (!metadata.boolean_if("expert_weights_norm").value_or(true)) {
    metadata.unsupported("expert_weights_norm", "false");
  }
  metadata.expect_number("expert_weights_scale", 1);
  metadata.expect_size("expert_gating_func", 1);  // softmax
  metadata.expect_zero("expert_shared_feed_forward_length");
  config["norm_topk_prob"] = true;
  config["decoder_sparse_step"] = 1;
  Json dense = Json::array();
  for (int64_t i = 0; i < config["num_hidden_layers"].get<int64_t>(); ++i) {
    if (metadata.file().find_tensor(fmt::format("blk.{}.ffn_gate.weight", i)) != nullptr) {
      dense.push_back(i);
    }
  }
  config["mlp_only_layers"] = std::move(dense);
  return config;
}

}  // namespace

const GgufArch kGgufQwen2 = {"qwen2", kQwen2Tensors, qwen2_config};
const GgufArch kGgufQwen3 = {"qwen3", kQwen3Tensors, qwen3_config};
const GgufArch kGgufQwen3Moe = {"qwen3moe", kQwen3Tensors, qwen3_moe_config};

}  // namespace tq
