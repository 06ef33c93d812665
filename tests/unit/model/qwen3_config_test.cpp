// Qwen3 configs, dense and mixtures of experts, to ModelSpecs: the published models and what is
// refused.
#include <gtest/gtest.h>

#include <cmath>

#include "unit/model/config_test_util.h"

namespace tq::test {
namespace {

// As published with Qwen3-30B-A3B.
Json qwen3_30b() {
  return Json::parse(R"({
    "architectures": ["Qwen3MoeForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
    "bos_token_id": 151643, "decoder_sparse_step": 1, "eos_token_id": 151645, "head_dim": 128,
    "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02,
    "intermediate_size": 6144, "max_position_embeddings": 40960, "max_window_layers": 48,
    "mlp_only_layers": [], "model_type": "qwen3_moe", "moe_intermediate_size": 768,
    "norm_topk_prob": true, "num_attention_heads": 32, "num_experts": 128,
    "num_experts_per_tok": 8, "num_hidden_layers": 48, "num_key_value_heads": 4,
    "output_router_logits": false, "rms_norm_eps": 1e-06, "rope_scaling": null,
    "rope_theta": 1000000.0, "router_aux_loss_coef": 0.001, "sliding_window": null,
    "tie_word_embeddings": false, "torch_dtype": "bfloat16", "transformers_version": "4.51.0",
    "use_cache": true, "use_sliding_window": false, "vocab_size": 151936})");
}

Json qwen3_235b() {
  Json config = qwen3_30b();
  config.update({{"hidden_size", 4096},
                 {"intermediate_size", 12288},
                 {"max_position_embeddings", 262144},
                 {"max_window_layers", 94},
                 {"moe_intermediate_size", 1536},
                 {"num_attention_heads", 64},
                 {"num_hidden_layers", 94},
                 {"rope_theta", 5000000}});
  return config;
}

// As published with Qwen3-8B.
Json qwen3_8b() {
  return Json::parse(R"({
    "architectures": ["Qwen3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
    "bos_token_id": 151643, "eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu",
    "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 12288,
    "max_position_embeddings": 40960, "max_window_layers": 36, "model_type": "qwen3",
    "num_attention_heads": 32, "num_hidden_layers": 36, "num_key_value_heads": 8,
    "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 1000000, "sliding_window": null,
    "tie_word_embeddings": false, "torch_dtype": "bfloat16", "transformers_version": "4.51.0",
    "use_cache": true, "use_sliding_window": false, "vocab_size": 151936})");
}

const MoeSpec& moe(const ModelSpec& spec, size_t layer) {
  return std::get<MoeSpec>(spec.layers[layer].ffn);
}

TEST(Qwen3Config, Published30b) {
  const ModelSpec spec = make_spec(qwen3_30b());
  EXPECT_EQ(spec.arch, "qwen3_moe");
  EXPECT_EQ(spec.norm_weight_offset, 0);
  EXPECT_EQ(spec.embed_scale, 1);
  EXPECT_FALSE(spec.tied_head);
  ASSERT_EQ(spec.layers.size(), 48u);
  EXPECT_EQ(gqa(spec, 47).head_dim, 128);
  EXPECT_EQ(gqa(spec, 47).n_kv_heads, 4);
  EXPECT_FLOAT_EQ(gqa(spec, 47).scale, 1 / std::sqrt(128.0f));
  EXPECT_TRUE(gqa(spec, 47).qk_norm);
  EXPECT_FALSE(gqa(spec, 47).v_norm || gqa(spec, 47).v_is_k);
  EXPECT_EQ(gqa(spec, 47).window, 0);
  EXPECT_FALSE(spec.layers[0].post_ffn_norm || spec.layers[0].output_scale);
  EXPECT_EQ(moe(spec, 47).n_experts, 128);
  EXPECT_EQ(moe(spec, 47).top_k, 8);
  EXPECT_EQ(moe(spec, 47).width, 768);
  EXPECT_EQ(moe(spec, 47).score, RouteScore::kSoftmax);
  EXPECT_TRUE(moe(spec, 47).normalize);
  EXPECT_FALSE(moe(spec, 47).router_norm || moe(spec, 47).expert_scale);
  EXPECT_EQ(moe(spec, 47).activate, Activate::kSilu);
  EXPECT_NEAR(spec.ropes[0].inv_freq[32], 1e-3, 1e-9);
  EXPECT_EQ(n_parameters(qwen3_30b()), 30'532'122'624);
  EXPECT_EQ(n_parameters(qwen3_30b()) - n_unused(spec), 3'041'867'776);
  EXPECT_EQ(kv_bytes(spec), 98'304);
}

TEST(Qwen3Config, Published235b) {
  const ModelSpec spec = make_spec(qwen3_235b());
  EXPECT_NEAR(spec.ropes[0].inv_freq[32], 1 / std::sqrt(5e6), 1e-9);
  EXPECT_EQ(n_parameters(qwen3_235b()), 235'093'634'560);
  EXPECT_EQ(n_parameters(qwen3_235b()) - n_unused(spec), 21'568'433'664);
  EXPECT_EQ(kv_bytes(spec), 192'512);
}

TEST(Qwen3Config, Published8b) {
  const ModelSpec spec = make_spec(qwen3_8b());
  EXPECT_EQ(spec.arch, "qwen3");
  EXPECT_EQ(mlp(spec, 35).width, 12288);
  EXPECT_EQ(n_parameters(qwen3_8b()), 8'190'735'360);
}

TEST(Qwen3Config, WhichLayersHaveExperts) {
  Json config = qwen3_30b();
  config["mlp_only_layers"] = {0, 2};
  config["decoder_sparse_step"] = 3;
  config["num_hidden_layers"] = 6;
  const ModelSpec spec = make_spec(config);
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(std::holds_alternative<MoeSpec>(spec.layers[i].ffn), i == 5) << i;
  }
  EXPECT_EQ(mlp(spec, 0).width, 6144);
  config["mlp_only_layers"] = {-1};
  expect_refused(config, ErrorCode::kCorrupt, "mlp_only_layers");
  config["mlp_only_layers"] = 1;
  expect_refused(config, ErrorCode::kCorrupt, "mlp_only_layers");
}

TEST(Qwen3Config, SpellingsAndDefaults) {
  Json config = qwen3_30b();
  config["num_local_experts"] = 64;  // as transformers 5 writes it
  config.erase("num_experts");
  config.erase("rope_theta");
  config.erase("rope_scaling");
  config["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 1e7}};
  config.erase("norm_topk_prob");
  const ModelSpec spec = make_spec(config);
  EXPECT_EQ(moe(spec, 0).n_experts, 64);
  EXPECT_FALSE(moe(spec, 0).normalize);
  EXPECT_NEAR(spec.ropes[0].inv_freq[32], 1 / std::sqrt(1e7), 1e-10);

  config = qwen3_8b();
  config.erase("head_dim");
  config["layer_types"] = Json::array();
  for (int i = 0; i < 36; ++i) config["layer_types"].push_back("full_attention");
  config["sliding_window"] = 4096;  // unused
  EXPECT_EQ(gqa(make_spec(config), 0).head_dim, 128);
  EXPECT_EQ(gqa(make_spec(config), 35).window, 0);
}

TEST(Qwen3Config, RefusesWhatItWouldComputeWrongly) {
  for (const Json& config : {qwen3_8b(), qwen3_30b()}) {
    expect_refused(with(config, "use_sliding_window", true), ErrorCode::kUnsupported,
                   "use_sliding_window");
    expect_refused(with(config, "hidden_act", "gelu"), ErrorCode::kUnsupported, "hidden_act");
    expect_refused(with(config, "layer_types", {"sliding_attention"}), ErrorCode::kUnsupported,
                   "sliding_attention");
    expect_refused(with(config, "shared_expert_intermediate_size", 512), ErrorCode::kUnsupported,
                   "shared_expert_intermediate_size");
    expect_refused(
        with(config, "rope_scaling", Json::parse(R"({"rope_type": "dynamic", "factor": 4.0,
                             "original_max_position_embeddings": 32768})")),
        ErrorCode::kUnsupported, "dynamic");
  }
  expect_refused(with(qwen3_8b(), "num_experts", 8), ErrorCode::kUnsupported, "num_experts");
  expect_refused(with(qwen3_30b(), "num_experts_per_tok", 200), ErrorCode::kUnsupported, "200");
  expect_refused(with(qwen3_30b(), "num_experts", 4), ErrorCode::kCorrupt, "8 experts a token");
}

}  // namespace
}  // namespace tq::test
