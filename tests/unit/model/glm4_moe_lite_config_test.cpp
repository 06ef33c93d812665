// GLM-4.7-Flash configs to ModelSpecs: the published model, other layouts of its layers, and what
// is refused.
#include <gtest/gtest.h>

#include <cmath>

#include "unit/model/config_test_util.h"

namespace tq::test {
namespace {

// As published with GLM-4.7-Flash.
Json glm_flash() {
  return Json::parse(R"({
    "architectures": ["Glm4MoeLiteForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
    "dtype": "bfloat16", "eos_token_id": [154820, 154827, 154829], "first_k_dense_replace": 1,
    "hidden_act": "silu", "hidden_size": 2048, "intermediate_size": 10240, "kv_lora_rank": 512,
    "max_position_embeddings": 202752, "model_type": "glm4_moe_lite",
    "moe_intermediate_size": 1536, "n_group": 1, "n_routed_experts": 64, "n_shared_experts": 1,
    "norm_topk_prob": true, "num_attention_heads": 20, "num_experts_per_tok": 4,
    "num_hidden_layers": 47, "num_key_value_heads": 20, "num_nextn_predict_layers": 1,
    "pad_token_id": 154820, "partial_rotary_factor": 1.0, "q_lora_rank": 768,
    "qk_nope_head_dim": 192, "qk_rope_head_dim": 64, "rms_norm_eps": 1e-05, "rope_scaling": null,
    "rope_theta": 1000000, "routed_scaling_factor": 1.8, "tie_word_embeddings": false,
    "topk_group": 1, "topk_method": "noaux_tc", "transformers_version": "5.0.0rc0",
    "v_head_dim": 256, "vocab_size": 154880})");
}

TEST(GlmConfig, PublishedFlash) {
  const ModelSpec spec = make_spec(glm_flash());
  EXPECT_EQ(spec.arch, "glm4_moe_lite");
  EXPECT_FLOAT_EQ(spec.norm_eps, 1e-5f);
  EXPECT_FALSE(spec.tied_head);
  ASSERT_EQ(spec.layers.size(), 47u);
  const auto& attention = std::get<MlaSpec>(spec.layers[46].attention);
  EXPECT_EQ(attention.n_heads, 20);
  EXPECT_EQ(attention.q_rank, 768);
  EXPECT_EQ(attention.kv_rank, 512);
  EXPECT_EQ(attention.nope_dim, 192);
  EXPECT_EQ(attention.rope_dim, 64);
  EXPECT_EQ(attention.v_dim, 256);
  EXPECT_EQ(attention.scale, 1.0f / 16);
  EXPECT_FLOAT_EQ(attention.latent_norm_eps, 1e-6f);
  ASSERT_EQ(spec.ropes[0].inv_freq.size(), 32u);
  EXPECT_NEAR(spec.ropes[0].inv_freq[16], 1e-3, 1e-9);
  EXPECT_TRUE(spec.ropes[0].interleaved);
  EXPECT_EQ(mlp(spec, 0).width, 10240);
  for (size_t i = 1; i < 47; ++i) {
    const auto& moe = std::get<MoeSpec>(spec.layers[i].ffn);
    EXPECT_EQ(moe.n_experts, 64);
    EXPECT_EQ(moe.top_k, 4);
    EXPECT_EQ(moe.width, 1536);
    EXPECT_EQ(moe.shared_width, 1536);
    EXPECT_EQ(moe.score, RouteScore::kSigmoid);
    EXPECT_TRUE(moe.selection_bias && moe.normalize);
    EXPECT_FLOAT_EQ(moe.weight_scale, 1.8f);
    EXPECT_FALSE(moe.router_norm || moe.expert_scale);
  }
  EXPECT_EQ(n_parameters(glm_flash()), 29'943'393'920);
  EXPECT_EQ(n_parameters(glm_flash()) - n_unused(spec), 3'579'571'840);
  EXPECT_EQ(kv_bytes(spec), 54'144);
}

TEST(GlmConfig, LatentsThatNoKernelTakesAreRefused) {
  EXPECT_EQ(make_spec(with(glm_flash(), "kv_lora_rank", 960)).layers.size(), 47u);
  expect_refused(with(glm_flash(), "kv_lora_rank", 961), ErrorCode::kUnsupported,
                 "kv_lora_rank + qk_rope_head_dim is 1025");
}

TEST(GlmConfig, WhichLayersHaveExperts) {
  const auto dense_layers = [](const Json& config) {
    std::string layers;
    for (const LayerSpec& layer : make_spec(config).layers) {
      layers += std::holds_alternative<MlpSpec>(layer.ffn) ? 'd' : 's';
    }
    return layers;
  };
  Json config = with(glm_flash(), "num_hidden_layers", 4);
  EXPECT_EQ(dense_layers(config), "dsss");
  EXPECT_EQ(dense_layers(with(config, "first_k_dense_replace", 3)), "ddds");
  EXPECT_EQ(dense_layers(with(config, "first_k_dense_replace", 0)), "ssss");
  config.erase("first_k_dense_replace");
  EXPECT_EQ(dense_layers(config), "dsss");
  config["mlp_layer_types"] = {"sparse", "dense", "sparse", "dense"};
  EXPECT_EQ(dense_layers(config), "sdsd");
  config["mlp_layer_types"][0] = "linear";
  expect_refused(config, ErrorCode::kUnsupported, "linear");
  config["mlp_layer_types"] = {"dense"};
  expect_refused(config, ErrorCode::kCorrupt, "1 mlp_layer_types for 4 layers");
}

TEST(GlmConfig, Groups) {
  const Json config = with(with(glm_flash(), "n_group", 8), "topk_group", 2);
  const ModelSpec spec = make_spec(config);
  const auto& moe = std::get<MoeSpec>(spec.layers[1].ffn);
  EXPECT_EQ(moe.n_groups, 8);
  EXPECT_EQ(moe.top_groups, 2);
  expect_refused(with(config, "n_group", 7), ErrorCode::kCorrupt, "n_group");
  expect_refused(with(config, "topk_group", 9), ErrorCode::kCorrupt, "best 9 of 8");
  expect_refused(with(config, "num_experts_per_tok", 17), ErrorCode::kCorrupt,
                 "17 experts a token of the 16");
}

TEST(GlmConfig, RefusesWhatItWouldComputeWrongly) {
  const Json config = glm_flash();
  expect_refused(with(config, "scoring_func", "softmax"), ErrorCode::kUnsupported, "scoring_func");
  expect_refused(with(config, "topk_method", "greedy"), ErrorCode::kUnsupported, "topk_method");
  expect_refused(with(config, "moe_layer_freq", 2), ErrorCode::kUnsupported, "moe_layer_freq");
  expect_refused(with(config, "num_key_value_heads", 4), ErrorCode::kUnsupported,
                 "num_key_value_heads");
  expect_refused(with(config, "partial_rotary_factor", 0.5), ErrorCode::kUnsupported,
                 "partial_rotary_factor");
  expect_refused(with(config, "q_lora_rank", nullptr), ErrorCode::kUnsupported, "q_lora_rank");
  expect_refused(with(config, "attention_bias", true), ErrorCode::kUnsupported, "attention_bias");
  expect_refused(with(config, "qk_head_dim", 192), ErrorCode::kUnsupported, "qk_head_dim");
  expect_refused(with(config, "head_dim", 256), ErrorCode::kUnsupported, "head_dim");
  expect_refused(with(config, "hidden_act", "gelu"), ErrorCode::kUnsupported, "hidden_act");
  expect_refused(with(config, "qk_rope_head_dim", 63), ErrorCode::kCorrupt, "qk_rope_head_dim");
  expect_refused(with(config, "num_attention_heads", 1 << 20), ErrorCode::kCorrupt,
                 "num_attention_heads");
  expect_refused(with(config, "rope_scaling",
                      Json::parse(R"({"type": "yarn", "factor": 4.0, "mscale_all_dim": 1.0})")),
                 ErrorCode::kUnsupported, "yarn");
}

}  // namespace
}  // namespace tq::test
