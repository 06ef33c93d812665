// GGUF files of arch deepseek2, as far as they are GLM-4.7-Flash or compute what it does: latent
// attention with a latent of queries, sigmoid routing with a bias that only chooses.
#include <fmt/format.h>

#include <string>

#include "io/gguf/arch/archs.h"
#include "io/gguf/arch/decoder.h"

namespace tq {
namespace {

constexpr GgufTensorRule kDeepseek2Tensors[] = {
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
    {"blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight"},
    {"blk.{}.ffn_norm.weight", "model.layers.{}.post_attention_layernorm.weight"},
    {"blk.{}.attn_q_a.weight", "model.layers.{}.self_attn.q_a_proj.weight"},
    {"blk.{}.attn_q_a_norm.weight", "model.layers.{}.self_attn.q_a_layernorm.weight"},
    {"blk.{}.attn_q_b.weight", "model.layers.{}.self_attn.q_b_proj.weight"},
    {"blk.{}.attn_kv_a_mqa.weight", "model.layers.{}.self_attn.kv_a_proj_with_mqa.weight"},
    {"blk.{}.attn_kv_a_norm.weight", "model.layers.{}.self_attn.kv_a_layernorm.weight"},
    {"blk.{}.attn_kv_b.weight", "model.layers.{}.self_attn.kv_b_proj.weight"},
    {"blk.{}.attn_k_b.weight", "model.layers.{}.self_attn.kv_b_proj.weight",
     GgufTransform::kJoinLatent},
    {"blk.{}.attn_v_b.weight", "", GgufTransform::kJoinedLatent},
    {"blk.{}.attn_output.weight", "model.layers.{}.self_attn.o_proj.weight"},
    {"blk.{}.ffn_gate.weight", "model.layers.{}.mlp.gate_proj.weight"},
    {"blk.{}.ffn_up.weight", "model.layers.{}.mlp.up_proj.weight"},
    {"blk.{}.ffn_down.weight", "model.layers.{}.mlp.down_proj.weight"},
    {"blk.{}.ffn_gate_inp.weight", "model.layers.{}.mlp.gate.weight"},
    {"blk.{}.ffn_gate_exps.weight", "model.layers.{}.mlp.experts.gate_proj.weight"},
    {"blk.{}.ffn_up_exps.weight", "model.layers.{}.mlp.experts.up_proj.weight"},
    {"blk.{}.ffn_down_exps.weight", "model.layers.{}.mlp.experts.down_proj.weight"},
    {"blk.{}.exp_probs_b.bias", "model.layers.{}.mlp.gate.e_score_correction_bias"},
    {"blk.{}.ffn_gate_shexp.weight", "model.layers.{}.mlp.shared_experts.gate_proj.weight"},
    {"blk.{}.ffn_up_shexp.weight", "model.layers.{}.mlp.shared_experts.up_proj.weight"},
    {"blk.{}.ffn_down_shexp.weight", "model.layers.{}.mlp.shared_experts.down_proj.weight"},
};

// Scores are sigmoids: files of GLM-4.7-Flash do not say so, but have the bias that goes with them.
void expect_sigmoids(GgufMetadata& metadata, int64_t n_dense) {
  constexpr int64_t kSigmoid = 2;
  metadata.expect_size("expert_gating_func", kSigmoid);
  const std::string bias = fmt::format("blk.{}.exp_probs_b.bias", n_dense);
  if (metadata.file().find_tensor(bias) != nullptr) return;
  fail(ErrorCode::kUnsupported,
       "{}: there is no tensor {}: mixtures of experts without a bias of the choice are not "
       "supported in this architecture (deepseek2)",
       metadata.file().name(), bias);
}

void add_latent_experts(GgufMetadata& metadata, Json& config) {
  config["n_routed_experts"] = metadata.size("expert_count");
  config["num_experts_per_tok"] = metadata.size("expert_used_count");
  config["moe_intermediate_size"] = metadata.size("expert_feed_forward_length");
  config["n_shared_experts"] = metadata.size("expert_shared_count");
  config["n_group"] = metadata.size_if("expert_group_count").value_or(1);
  config["topk_group"] = metadata.size_if("expert_group_used_count").value_or(1);
  config["norm_topk_prob"] = metadata.boolean_if("expert_weights_norm").value_or(false);
  config["routed_scaling_factor"] = metadata.positive_if("expert_weights_scale").value_or(1);
  const int64_t n_dense = metadata.integer_if("leading_dense_block_count").value_or(0);
  config["first_k_dense_replace"] = n_dense;
  expect_sigmoids(metadata, n_dense);
}

Json deepseek2_config(GgufMetadata& metadata) {
  Json config = gguf_decoder_config(metadata, {"glm4_moe_lite", "Glm4MoeLiteForCausalLM", true});
  const auto n_blocks = config["num_hidden_layers"].get<int64_t>();
  const int64_t n_mtp = metadata.integer_if("nextn_predict_layers").value_or(0);
  if (n_mtp >= n_blocks) metadata.unsupported("nextn_predict_layers", std::to_string(n_mtp));
  config["num_hidden_layers"] = n_blocks - n_mtp;
  config["num_nextn_predict_layers"] = n_mtp;
  config["intermediate_size"] = metadata.size("feed_forward_length");
  config["num_key_value_heads"] = config["num_attention_heads"];
  metadata.size_if("attention.head_count_kv");  // 1 where the cache holds latents, or all heads
  const int64_t kv_rank = metadata.size("attention.kv_lora_rank");
  const int64_t rope_dim = metadata.size("rope.dimension_count");
  const auto key_dim = metadata.size_if("attention.key_length_mla");
  if (key_dim) {
    metadata.expect_size("attention.key_length", kv_rank + rope_dim);
    metadata.expect_size("attention.value_length", kv_rank);
  }
  const int64_t own_key_dim = key_dim ? *key_dim : metadata.size("attention.key_length");
  if (own_key_dim <= rope_dim) {
    metadata.unsupported("rope.dimension_count", fmt::format("{} of {}", rope_dim, own_key_dim));
  }
  config["q_lora_rank"] = metadata.size("attention.q_lora_rank");
  config["kv_lora_rank"] = kv_rank;
  config["qk_nope_head_dim"] = own_key_dim - rope_dim;
  config["qk_rope_head_dim"] = rope_dim;
  config["v_head_dim"] =
      metadata.size(key_dim ? "attention.value_length_mla" : "attention.value_length");
  if (!gguf_rope_scaling(metadata).is_null()) metadata.unsupported("rope.scaling.type", "set");
  config["rope_scaling"] = nullptr;
  config["hidden_act"] = "silu";
  add_latent_experts(metadata, config);
  return config;
}

}  // namespace

const GgufArch kGgufDeepseek2 = {"deepseek2", kDeepseek2Tensors, deepseek2_config};

}  // namespace tq
