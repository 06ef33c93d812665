// Mistral, Ministral 3 and yarn: published shapes, and what is refused.
#include <gtest/gtest.h>

#include <cmath>

#include "unit/model/config_test_util.h"

namespace tq::test {
namespace {

Json mistral_7b_v03() {
  return Json::parse(R"({
    "architectures": ["MistralForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 1,
    "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
    "intermediate_size": 14336, "max_position_embeddings": 32768, "model_type": "mistral",
    "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05, "rope_theta": 1000000.0, "sliding_window": null,
    "tie_word_embeddings": false, "torch_dtype": "bfloat16", "transformers_version": "4.42.0",
    "use_cache": true, "vocab_size": 32768})");
}

// The shape of Ministral 3 8B, inside the multimodal config.
Json ministral3_8b() {
  return Json::parse(R"({
    "architectures": ["Mistral3ForConditionalGeneration"], "dtype": "bfloat16",
    "image_token_index": 10, "model_type": "mistral3", "multimodal_projector_bias": false,
    "projector_hidden_act": "gelu", "spatial_merge_size": 2, "tie_word_embeddings": false,
    "vision_feature_layer": -1, "vision_config": {"model_type": "pixtral"},
    "text_config": {
      "attention_dropout": 0.0, "head_dim": 128, "hidden_act": "silu", "hidden_size": 4096,
      "initializer_range": 0.02, "intermediate_size": 14336, "max_position_embeddings": 262144,
      "model_type": "ministral3", "num_attention_heads": 32, "num_hidden_layers": 34,
      "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "sliding_window": null, "use_cache": true,
      "vocab_size": 131072,
      "rope_parameters": {"beta_fast": 32.0, "beta_slow": 1.0, "factor": 16.0,
        "llama_4_scaling_beta": 0.1, "mscale": 1.0, "mscale_all_dim": 1.0,
        "original_max_position_embeddings": 16384, "rope_theta": 1000000.0, "rope_type": "yarn",
        "type": "yarn"}}})");
}

TEST(MistralConfig, Published7b) {
  const ModelSpec spec = make_spec(mistral_7b_v03());
  EXPECT_EQ(gqa(spec, 31).head_dim, 128);
  EXPECT_EQ(gqa(spec, 31).window, 0);
  EXPECT_FALSE(gqa(spec, 0).bias || spec.tied_head);
  EXPECT_EQ(n_parameters(mistral_7b_v03()), 7'248'023'552);
  EXPECT_EQ(kv_bytes(spec), 131'072);
  // Null is none; what is missing is MistralConfig's default.
  EXPECT_EQ(gqa(make_spec(with(mistral_7b_v03(), "sliding_window", 4096)), 3).window, 4096);
  Json missing = mistral_7b_v03();
  missing.erase("sliding_window");
  EXPECT_EQ(gqa(make_spec(missing), 3).window, 4096);
}

TEST(MistralConfig, PublishedMinistral8b) {
  const ModelSpec spec = make_spec(ministral3_8b());
  EXPECT_EQ(spec.arch, "mistral3");
  EXPECT_EQ(spec.max_position, 262144);
  EXPECT_FLOAT_EQ(gqa(spec, 0).query_beta, 0.1f);
  EXPECT_EQ(gqa(spec, 0).query_span, 16384);
  EXPECT_EQ(spec.ropes[0].scale, 1);  // mscale and mscale_all_dim are alike
  EXPECT_EQ(n_parameters(ministral3_8b()), 8'489'553'920);
  EXPECT_EQ(kv_bytes(spec), 139'264);
}

TEST(MistralConfig, WhichConfigSaysTied) {
  Json config = ministral3_8b();
  EXPECT_FALSE(make_spec(config).tied_head);
  config.erase("tie_word_embeddings");
  EXPECT_TRUE(make_spec(config).tied_head);  // Mistral3Config's default
  config["text_config"]["tie_word_embeddings"] = false;
  EXPECT_FALSE(make_spec(config).tied_head);
}

// Frequencies of Qwen2.5's documented long context, by hand: pairs up to `low` stay, from `high`
// on they are divided by 4.
TEST(MistralConfig, Yarn) {
  Json config = mistral_7b_v03();
  config["rope_scaling"] = {
      {"type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 32768}};
  const RopeSpec rope = make_spec(config).ropes[0];
  const auto plain = [](size_t j) { return std::pow(1e6, -static_cast<double>(j) / 64); };
  // 128 ln(32768 / (32 * 2 pi)) / (2 ln 1e6) = 23.6; with one turn 39.7.
  EXPECT_NEAR(rope.inv_freq[23], plain(23), 1e-6 * plain(23));
  EXPECT_NEAR(rope.inv_freq[40], plain(40) / 4, 1e-6 * plain(40));
  const double kept = 1 - (30 - 23) / 17.0;
  EXPECT_NEAR(rope.inv_freq[30], plain(30) * (kept + (1 - kept) / 4), 1e-6 * plain(30));
  EXPECT_NEAR(rope.scale, 0.1 * std::log(4.0) + 1, 1e-6);
}

TEST(MistralConfig, RefusesWhatItWouldComputeWrongly) {
  const Json config = mistral_7b_v03();
  const auto yarn = [&](const char* key, const Json& value) {
    Json rope = {{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 32}};
    rope[key] = value;
    return with(config, "rope_scaling", rope);
  };
  expect_refused(yarn("factor", nullptr), ErrorCode::kNotFound, "factor");
  expect_refused(yarn("original_max_position_embeddings", nullptr), ErrorCode::kNotFound,
                 "original_max_position_embeddings");
  expect_refused(yarn("beta_fast", 0.5), ErrorCode::kCorrupt, "beta_fast");
  expect_refused(yarn("apply_scale", 1), ErrorCode::kUnsupported, "apply_scale");
  expect_refused(yarn("llama_4_scaling_beta", 0.1), ErrorCode::kUnsupported,
                 "llama_4_scaling_beta");
  expect_refused(with(yarn("factor", 4.0), "rope_theta", 1.0), ErrorCode::kCorrupt, "rope_theta");
  expect_refused(with(config, "layer_types", {"sliding_attention"}), ErrorCode::kUnsupported,
                 "layer_types");
  expect_refused(with(config, "hidden_act", "gelu"), ErrorCode::kUnsupported, "hidden_act");
  expect_refused(with(config, "model_type", "ministral"), ErrorCode::kUnsupported, "ministral");
  Json other = ministral3_8b();
  other["text_config"]["model_type"] = "mistral4";
  expect_refused(other, ErrorCode::kUnsupported, "mistral4");
  other = ministral3_8b();
  other["text_config"].erase("rope_parameters");
  expect_refused(other, ErrorCode::kNotFound, "rope_parameters");
  other = ministral3_8b();
  other["text_config"]["rope_parameters"]["original_max_position_embeddings"] = -1;
  expect_refused(other, ErrorCode::kCorrupt, "original_max_position_embeddings");
}

}  // namespace
}  // namespace tq::test
