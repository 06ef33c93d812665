// Qwen3.5 and 3.6 configs, dense and mixtures of experts, to ModelSpecs: the published sizes and
// what is refused.
#include <gtest/gtest.h>

#include <cmath>

#include "unit/model/config_test_util.h"

namespace tq::test {
namespace {

// With the sizes and fields of Qwen3.6-35B-A3B.
Json qwen3_6_35b() {
  Json config = Json::parse(R"({
    "architectures": ["Qwen3_5MoeForConditionalGeneration"], "model_type": "qwen3_5_moe",
    "image_token_id": 248056, "video_token_id": 248057, "vision_start_token_id": 248053,
    "vision_end_token_id": 248054, "tie_word_embeddings": false, "transformers_version": "5.2.0",
    "vision_config": {"depth": 27, "hidden_size": 1152, "model_type": "qwen3_5_moe"},
    "text_config": {
      "attention_bias": false, "attention_dropout": 0.0, "attn_output_gate": true,
      "dtype": "bfloat16", "eos_token_id": 248044, "full_attention_interval": 4, "head_dim": 256,
      "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02,
      "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128, "linear_num_key_heads": 16,
      "linear_num_value_heads": 32, "linear_value_head_dim": 128, "mamba_ssm_dtype": "float32",
      "max_position_embeddings": 262144, "mlp_only_layers": [],
      "model_type": "qwen3_5_moe_text", "moe_intermediate_size": 512, "mtp_num_hidden_layers": 1,
      "mtp_use_dedicated_embeddings": false, "num_attention_heads": 16, "num_experts": 256,
      "num_experts_per_tok": 8, "num_hidden_layers": 40, "num_key_value_heads": 2,
      "partial_rotary_factor": 0.25, "rms_norm_eps": 1e-06,
      "rope_parameters": {
        "mrope_interleaved": true, "mrope_section": [11, 11, 10], "partial_rotary_factor": 0.25,
        "rope_theta": 10000000, "rope_type": "default"},
      "router_aux_loss_coef": 0.001, "shared_expert_intermediate_size": 512, "use_cache": true,
      "vocab_size": 248320}})");
  Json& types = config["text_config"]["layer_types"] = Json::array();
  for (int i = 1; i <= 40; ++i) {
    types.push_back(i % 4 == 0 ? "full_attention" : "linear_attention");
  }
  return config;
}

// Of Qwen3.6-27B; without layer_types, which then follow from the interval.
Json qwen3_6_27b() {
  Json config = qwen3_6_35b();
  config["model_type"] = "qwen3_5";
  Json& text = config["text_config"];
  for (const char* field :
       {"layer_types", "moe_intermediate_size", "num_experts", "num_experts_per_tok",
        "shared_expert_intermediate_size", "router_aux_loss_coef", "mlp_only_layers"}) {
    text.erase(field);
  }
  text.update({{"model_type", "qwen3_5_text"},
               {"hidden_size", 5120},
               {"intermediate_size", 17408},
               {"linear_num_value_heads", 48},
               {"num_attention_heads", 24},
               {"num_hidden_layers", 64},
               {"num_key_value_heads", 4}});
  return config;
}

int64_t state_bytes(const ModelSpec& spec) {
  return KvLayout{.layers = spec.kv_layers()}.state_bytes();
}

TEST(Qwen35Config, Published35b) {
  const ModelSpec spec = make_spec(qwen3_6_35b());
  EXPECT_EQ(spec.arch, "qwen3_5_moe");
  EXPECT_EQ(spec.norm_weight_offset, 1);
  EXPECT_EQ(spec.embed_scale, 1);
  EXPECT_FALSE(spec.tied_head);
  ASSERT_EQ(spec.layers.size(), 40u);
  const auto& net = std::get<DeltaNetSpec>(spec.layers[38].attention);
  EXPECT_EQ(net.n_k_heads, 16);
  EXPECT_EQ(net.n_heads, 32);
  EXPECT_EQ(net.k_dim, 128);
  EXPECT_EQ(net.conv_dim(), 8192);
  EXPECT_EQ(net.conv_width, 4);
  EXPECT_TRUE(gqa(spec, 3).output_gate && gqa(spec, 39).qk_norm);
  EXPECT_FLOAT_EQ(gqa(spec, 39).scale, 1.0f / 16);
  EXPECT_EQ(gqa(spec, 39).n_kv_heads, 2);
  ASSERT_EQ(spec.ropes[0].inv_freq.size(), 32u);  // of 128 pairs
  EXPECT_NEAR(spec.ropes[0].inv_freq[16], 1 / std::sqrt(1e7), 1e-9);
  const auto& moe = std::get<MoeSpec>(spec.layers[0].ffn);
  EXPECT_EQ(moe.n_experts, 256);
  EXPECT_EQ(moe.top_k, 8);
  EXPECT_EQ(moe.shared_width, 512);
  EXPECT_TRUE(moe.shared_gate && moe.normalize);
  EXPECT_EQ(n_parameters(qwen3_6_35b()), 34'660'610'688);
  EXPECT_EQ(kv_bytes(spec), 20'480);
  EXPECT_EQ(state_bytes(spec), 30 * 4 * (32 * 128 * 128 + 3 * 8192));
}

TEST(Qwen35Config, Published27b) {
  const ModelSpec spec = make_spec(qwen3_6_27b());
  EXPECT_EQ(spec.arch, "qwen3_5");
  ASSERT_EQ(spec.layers.size(), 64u);
  for (size_t i = 0; i < 64; ++i) {
    EXPECT_EQ(std::holds_alternative<GqaSpec>(spec.layers[i].attention), i % 4 == 3) << i;
  }
  EXPECT_EQ(n_parameters(qwen3_6_27b()), 26'895'998'464);
  EXPECT_EQ(kv_bytes(spec), 65'536);
  EXPECT_EQ(state_bytes(spec), 48 * 4 * (48 * 128 * 128 + 3 * 10240));
}

TEST(Qwen35Config, RefusesWhatItWouldComputeWrongly) {
  const auto expect_refused = [](const Json& changes, const char* what) {
    Json config = qwen3_6_35b();
    config["text_config"].update(changes);
    const Error error = error_of([&] { (void)make_spec(config); });
    EXPECT_THAT(error.what(), testing::HasSubstr(what)) << changes;
  };
  expect_refused({{"hidden_act", "gelu"}}, "hidden_act");
  expect_refused({{"attn_output_gate", false}}, "attn_output_gate");
  expect_refused({{"output_gate_type", "sigmoid"}}, "output_gate_type");
  expect_refused({{"mamba_ssm_dtype", "bfloat16"}}, "mamba_ssm_dtype");
  expect_refused({{"linear_num_value_heads", 24}}, "linear_num_value_heads");
  expect_refused({{"linear_key_head_dim", 512}}, "linear_key_head_dim");
  expect_refused({{"linear_conv_kernel_dim", 9}}, "linear_conv_kernel_dim");
  expect_refused({{"linear_conv_kernel_dim", 1}}, "linear_conv_kernel_dim");
  expect_refused({{"norm_topk_prob", false}}, "norm_topk_prob");
  expect_refused({{"mlp_only_layers", {0}}}, "mlp_only_layers");
  expect_refused({{"layer_types", {"linear_attention"}}}, "layer_types");
  expect_refused({{"layer_types", std::vector<std::string>(40, "sliding_attention")}}, "sliding");
  expect_refused({{"partial_rotary_factor", 1.5}, {"rope_parameters", Json()}},
                 "partial_rotary_factor");
  expect_refused({{"rope_parameters", {{"rope_type", "yarn"}, {"factor", 4.0}}}}, "yarn");
  expect_refused({{"a_new_switch", true}}, "a_new_switch");
}

}  // namespace
}  // namespace tq::test
