// Gemma 4 configs to ModelSpecs: the published models, the spellings of their sizes, and what is
// refused.
#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <string>

#include "unit/model/config_test_util.h"

namespace tq::test {
namespace {

// The text part of gemma-4-26B-A4B-it.
Json text_26b() {
  Json config = Json::parse(R"({
    "attention_bias": false, "attention_dropout": 0.0, "attention_k_eq_v": true, "bos_token_id": 2,
    "dtype": "bfloat16", "enable_moe_block": true, "eos_token_id": 1,
    "final_logit_softcapping": 30.0, "global_head_dim": 512, "head_dim": 256,
    "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 2816,
    "hidden_size_per_layer_input": 0, "initializer_range": 0.02, "intermediate_size": 2112,
    "max_position_embeddings": 262144, "model_type": "gemma4_text", "moe_intermediate_size": 704,
    "num_attention_heads": 16, "num_experts": 128, "num_global_key_value_heads": 2,
    "num_hidden_layers": 30, "num_key_value_heads": 8, "num_kv_shared_layers": 0,
    "pad_token_id": 0, "rms_norm_eps": 1e-06,
    "rope_parameters": {
      "full_attention": {"partial_rotary_factor": 0.25, "rope_theta": 1000000.0,
                         "rope_type": "proportional"},
      "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"}},
    "sliding_window": 1024, "tie_word_embeddings": true, "top_k_experts": 8,
    "use_bidirectional_attention": "vision", "use_cache": true, "use_double_wide_mlp": false,
    "vocab_size": 262144, "vocab_size_per_layer_input": 262144})");
  for (int i = 0; i < 30; ++i) {
    config["layer_types"].push_back((i + 1) % 6 == 0 ? "full_attention" : "sliding_attention");
  }
  return config;
}

// The text part of another size; layers follow the pattern-th-is-global rule.
Json resized(const Json& sizes, int pattern = 6) {
  Json config = text_26b();
  config.update(Json::parse(R"({"enable_moe_block": false, "num_experts": null,
                                "top_k_experts": null, "moe_intermediate_size": null})"));
  config.update(sizes);
  config["layer_types"] = Json::array();
  for (int i = 0; i < config["num_hidden_layers"]; ++i) {
    config["layer_types"].push_back((i + 1) % pattern == 0 ? "full_attention"
                                                           : "sliding_attention");
  }
  return config;
}

Json text_31b() {
  return resized({{"num_hidden_layers", 60},
                  {"hidden_size", 5376},
                  {"intermediate_size", 21504},
                  {"num_attention_heads", 32},
                  {"num_key_value_heads", 16},
                  {"num_global_key_value_heads", 4}});
}

Json text_e4b() {
  return resized({{"num_hidden_layers", 42},
                  {"hidden_size", 2560},
                  {"intermediate_size", 10240},
                  {"num_attention_heads", 8},
                  {"num_key_value_heads", 2},
                  {"num_global_key_value_heads", nullptr},
                  {"attention_k_eq_v", false},
                  {"hidden_size_per_layer_input", 256},
                  {"num_kv_shared_layers", 18},
                  {"max_position_embeddings", 131072},
                  {"sliding_window", 512}});
}

Json text_e2b() {
  return resized({{"num_hidden_layers", 35},
                  {"hidden_size", 1536},
                  {"intermediate_size", 6144},
                  {"num_attention_heads", 8},
                  {"num_key_value_heads", 1},
                  {"num_global_key_value_heads", nullptr},
                  {"attention_k_eq_v", false},
                  {"hidden_size_per_layer_input", 256},
                  {"num_kv_shared_layers", 20},
                  {"use_double_wide_mlp", true},
                  {"max_position_embeddings", 131072},
                  {"sliding_window", 512}},
                 5);
}

// As published: the text part inside a multimodal config.
Json multimodal(const Json& text, const std::string& type = "gemma4") {
  Json config = Json::parse(R"({
    "architectures": ["Gemma4ForConditionalGeneration"], "audio_config": null,
    "audio_token_id": 258881, "boa_token_id": 256000, "boi_token_id": 255999, "dtype": "bfloat16",
    "eoa_token_index": 258883, "eoi_token_id": 258882, "eos_token_id": [1, 106],
    "image_token_id": 258880, "initializer_range": 0.02, "tie_word_embeddings": true,
    "transformers_version": "5.5.0.dev0", "video_token_id": 258884,
    "vision_config": {"hidden_size": 1152, "model_type": "gemma4_vision"},
    "vision_soft_tokens_per_image": 280})");
  config["model_type"] = type;
  config["text_config"] = text;
  return config;
}

TEST(Gemma4Config, Published26b) {
  const Json config = multimodal(text_26b());
  const ModelSpec spec = make_spec(config);
  EXPECT_EQ(spec.arch, "gemma4");
  EXPECT_EQ(spec.norm_weight_offset, 0);
  EXPECT_EQ(spec.embed_scale, 53.0f);  // sqrt(2816) = 53.07 in bf16
  EXPECT_EQ(spec.final_softcap, 30);
  EXPECT_TRUE(spec.tied_head);
  EXPECT_FALSE(spec.per_layer_input);
  ASSERT_EQ(spec.layers.size(), 30u);
  for (size_t i = 0; i < 30; ++i) {
    const bool global = i % 6 == 5;
    const LayerSpec& layer = spec.layers[i];
    EXPECT_TRUE(layer.post_attention_norm && layer.post_ffn_norm && layer.output_scale);
    EXPECT_EQ(gqa(spec, i).window, global ? 0 : 1024) << i;
    EXPECT_EQ(gqa(spec, i).head_dim, global ? 512 : 256) << i;
    EXPECT_EQ(gqa(spec, i).n_kv_heads, global ? 2 : 8) << i;
    EXPECT_EQ(gqa(spec, i).v_is_k, global) << i;
    EXPECT_TRUE(gqa(spec, i).v_norm && gqa(spec, i).qk_norm);
    EXPECT_EQ(gqa(spec, i).scale, 1);
    EXPECT_FALSE(gqa(spec, i).kv_from);
    const auto& both = std::get<MlpMoeSpec>(layer.ffn);
    EXPECT_EQ(both.mlp.width, 2112);
    EXPECT_EQ(both.mlp.activate, Activate::kGeluTanh);
    EXPECT_EQ(both.moe.n_experts, 128);
    EXPECT_EQ(both.moe.top_k, 8);
    EXPECT_EQ(both.moe.width, 704);
    EXPECT_EQ(both.moe.activate, Activate::kGeluTanh);
    EXPECT_EQ(both.moe.score, RouteScore::kSoftmax);
    EXPECT_TRUE(both.moe.normalize && both.moe.expert_scale && both.moe.router_norm);
    EXPECT_FALSE(both.moe.selection_bias);
    EXPECT_EQ(both.moe.shared_width, 0);
  }
  EXPECT_EQ(n_parameters(config), 25'233'141'790);
  EXPECT_EQ(n_parameters(config) - n_unused(spec), 3'822'530'590);
  EXPECT_EQ(kv_bytes(spec), 225'280);
}

// Angles of the first quarter of the pairs; the exponents count all dims of a head.
TEST(Gemma4Config, ProportionalRope) {
  const ModelSpec spec = make_spec(text_26b());
  const RopeSpec& global = spec.ropes[static_cast<size_t>(gqa(spec, 5).rope)];
  const RopeSpec& local = spec.ropes[static_cast<size_t>(gqa(spec, 4).rope)];
  ASSERT_EQ(global.inv_freq.size(), 256u);
  for (size_t j = 0; j < 256; ++j) {
    const double expected = j < 64 ? std::pow(1e6, -2.0 * static_cast<double>(j) / 512) : 0;
    EXPECT_NEAR(global.inv_freq[j], expected, 1e-6 * expected) << j;
  }
  ASSERT_EQ(local.inv_freq.size(), 128u);
  EXPECT_NEAR(local.inv_freq[64], 0.01, 1e-8);
  EXPECT_FALSE(global.interleaved);

  Json config = text_26b();
  Json& full = config["rope_parameters"]["full_attention"];
  full["factor"] = 8.0;
  EXPECT_EQ(make_spec(config).ropes[0].inv_freq[3], global.inv_freq[3] / 8);
  full["partial_rotary_factor"] = 1.5;
  expect_refused(config, ErrorCode::kCorrupt, "partial_rotary_factor is 1.5");
  full = {{"rope_type", "dynamic"}, {"rope_theta", 1e6}, {"factor", 4.0}};
  expect_refused(config, ErrorCode::kUnsupported, "dynamic");
  config["rope_parameters"].erase("full_attention");
  expect_refused(config, ErrorCode::kNotFound, "full_attention");
}

TEST(Gemma4Config, Published31b) {
  const Json config = multimodal(text_31b());
  const ModelSpec spec = make_spec(config);
  EXPECT_EQ(spec.embed_scale, 73.5f);
  EXPECT_EQ(gqa(spec, 58).n_kv_heads, 16);
  EXPECT_EQ(gqa(spec, 59).n_kv_heads, 4);
  EXPECT_EQ(mlp(spec, 0).width, 21504);
  EXPECT_EQ(n_parameters(config), 30'697'345'340);
}

// Of the 12B model, whose class of configs has no fields for experts and per-layer inputs.
TEST(Gemma4Config, Unified12b) {
  Json text = resized({{"num_hidden_layers", 48},
                       {"hidden_size", 3840},
                       {"intermediate_size", 15360},
                       {"num_global_key_value_heads", 1},
                       {"model_type", "gemma4_unified_text"}});
  for (const char* key : {"enable_moe_block", "hidden_size_per_layer_input", "num_experts",
                          "vocab_size_per_layer_input", "max_position_embeddings",
                          "moe_intermediate_size", "top_k_experts", "sliding_window"}) {
    text.erase(key);
  }
  const ModelSpec spec = make_spec(multimodal(text, "gemma4_unified"));
  EXPECT_EQ(spec.arch, "gemma4_unified");
  EXPECT_EQ(spec.embed_scale, 62.0f);
  EXPECT_FALSE(spec.per_layer_input);
  EXPECT_EQ(spec.max_position, 262144);
  EXPECT_EQ(gqa(spec, 0).window, 1024);
  EXPECT_EQ(gqa(spec, 47).n_kv_heads, 1);
}

TEST(Gemma4Config, PublishedE4b) {
  const Json config = multimodal(text_e4b());
  const ModelSpec spec = make_spec(config);
  EXPECT_EQ(spec.embed_scale, 50.5f);
  ASSERT_TRUE(spec.per_layer_input);
  EXPECT_EQ(spec.per_layer_input->dim, 256);
  EXPECT_EQ(spec.per_layer_input->vocab, 262144);
  EXPECT_EQ(spec.per_layer_input->embed_scale, 16);
  ASSERT_EQ(spec.layers.size(), 42u);
  EXPECT_FALSE(gqa(spec, 23).kv_from);
  for (size_t i = 24; i < 42; ++i) {
    EXPECT_EQ(gqa(spec, i).kv_from, std::optional<int64_t>(i % 6 == 5 ? 23 : 22)) << i;
  }
  EXPECT_FALSE(gqa(spec, 41).v_is_k);
  EXPECT_EQ(gqa(spec, 41).n_kv_heads, 2);
  EXPECT_EQ(mlp(spec, 41).width, 10240);
  // Published: 4.5 billion "effective" ones, that is without the table.
  EXPECT_NEAR(static_cast<double>(n_parameters(config) - n_unused(spec)), 4.5e9, 0.15e9);
  EXPECT_EQ(n_unused(spec), 2'818'572'288);
}

TEST(Gemma4Config, PublishedE2b) {
  const Json config = multimodal(text_e2b());
  const ModelSpec spec = make_spec(config);
  EXPECT_EQ(spec.embed_scale, 39.25f);
  ASSERT_EQ(spec.layers.size(), 35u);
  EXPECT_EQ(gqa(spec, 9).window, 0);
  EXPECT_EQ(gqa(spec, 34).window, 0);
  EXPECT_EQ(gqa(spec, 14).kv_from, std::nullopt);
  EXPECT_EQ(gqa(spec, 15).kv_from, std::optional<int64_t>(13));
  EXPECT_EQ(gqa(spec, 19).kv_from, std::optional<int64_t>(14));
  EXPECT_EQ(mlp(spec, 14).width, 6144);
  EXPECT_EQ(mlp(spec, 15).width, 12288);
  EXPECT_NEAR(static_cast<double>(n_parameters(config) - n_unused(spec)), 2.3e9, 0.05e9);
  EXPECT_EQ(n_unused(spec), 2'348'810'240);
  // Layers that share keep nothing.
  EXPECT_EQ(kv_bytes(spec), (12 * 256 + 3 * 512) * 2 * 2);
}

TEST(Gemma4Config, PerLayerConfig) {
  const ModelSpec expected = make_spec(text_26b());
  Json config = text_26b();
  config.erase("global_head_dim");
  config.erase("num_global_key_value_heads");
  // transformers pads the numbers.
  for (const char* layer : {"05", "11", "17", "23", "29"}) {
    config["per_layer_config"][layer] = {{"head_dim", 512}, {"num_key_value_heads", 2}};
  }
  const ModelSpec spec = make_spec(config);
  EXPECT_EQ(spec.ropes, expected.ropes);
  for (size_t i = 0; i < 30; ++i) {
    EXPECT_EQ(gqa(spec, i).head_dim, gqa(expected, i).head_dim) << i;
    EXPECT_EQ(gqa(spec, i).n_kv_heads, gqa(expected, i).n_kv_heads) << i;
  }
  EXPECT_EQ(n_parameters(config), 25'233'141'790);

  Json broken = config;
  broken["per_layer_config"]["05"]["sliding_window"] = 64;
  expect_refused(broken, ErrorCode::kUnsupported, "sliding_window");
  broken = config;
  broken["per_layer_config"]["11"]["head_dim"] = 256;
  expect_refused(broken, ErrorCode::kUnsupported, "heads of 512 and of 256");
  for (const char* key : {"30", "-1", "5x", "", "full_attention"}) {
    broken = config;
    broken["per_layer_config"][key] = {{"head_dim", 512}};
    expect_refused(broken, ErrorCode::kCorrupt, "is not the number of a layer");
  }
}

TEST(Gemma4Config, DefaultsAndOlderNames) {
  Json config = text_26b();
  config["expert_intermediate_size"] = config["moe_intermediate_size"];
  config.erase("moe_intermediate_size");
  config.erase("rope_parameters");
  config.erase("layer_types");
  config.erase("global_head_dim");
  const ModelSpec spec = make_spec(config);
  const ModelSpec expected = make_spec(text_26b());
  EXPECT_EQ(std::get<MlpMoeSpec>(spec.layers[0].ffn).moe.width, 704);
  EXPECT_EQ(spec.ropes, expected.ropes);
  for (size_t i = 0; i < 30; ++i) EXPECT_EQ(gqa(spec, i).window, gqa(expected, i).window);
  // Without k = v the kv heads of global layers are those of the others.
  config["attention_k_eq_v"] = false;
  EXPECT_EQ(gqa(make_spec(config), 5).n_kv_heads, 8);
  // A last layer that would slide does not.
  config["num_hidden_layers"] = 29;
  EXPECT_EQ(gqa(make_spec(config), 28).window, 0);
}

TEST(Gemma4Config, RefusesWhatItWouldComputeWrongly) {
  const Json config = text_26b();
  expect_refused(with(config, "use_bidirectional_attention", "all"), ErrorCode::kUnsupported,
                 "use_bidirectional_attention");
  expect_refused(with(config, "hidden_activation", "silu"), ErrorCode::kUnsupported,
                 "hidden_activation");
  expect_refused(with(config, "attn_logit_softcapping", 50.0), ErrorCode::kUnsupported,
                 "attn_logit_softcapping");
  expect_refused(with(config, "num_kv_shared_layers", 30), ErrorCode::kCorrupt,
                 "num_kv_shared_layers");
  expect_refused(with(config, "num_kv_shared_layers", 26), ErrorCode::kCorrupt, "layer 5");
  expect_refused(with(config, "top_k_experts", 129), ErrorCode::kUnsupported, "129");
  expect_refused(with(config, "num_experts", nullptr), ErrorCode::kNotFound, "num_experts");
  expect_refused(with(config, "rope_parameters", Json::parse(R"({"full_attention": {}})")),
                 ErrorCode::kNotFound, "sliding_attention");
  expect_refused(with(text_e2b(), "vocab_size_per_layer_input", 1000), ErrorCode::kCorrupt,
                 "vocab_size_per_layer_input (1000)");
  expect_refused(with(multimodal(config), "per_layer_scale", 2), ErrorCode::kUnsupported,
                 "per_layer_scale");
}

}  // namespace
}  // namespace tq::test
