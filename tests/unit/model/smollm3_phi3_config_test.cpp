// SmolLM3 and Phi-3 configs to ModelSpecs: published shapes, and what is refused.
#include <gtest/gtest.h>

#include <cmath>

#include "unit/model/config_test_util.h"

namespace tq::test {
namespace {

Json smollm3_3b() {
  Json config = Json::parse(R"({
    "architectures": ["SmolLM3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
    "bos_token_id": 128000, "eos_token_id": 128012, "hidden_act": "silu", "hidden_size": 2048,
    "initializer_range": 0.02, "intermediate_size": 11008, "max_position_embeddings": 65536,
    "max_window_layers": 28, "mlp_bias": false, "model_type": "smollm3",
    "no_rope_layer_interval": 4, "num_attention_heads": 16, "num_hidden_layers": 36,
    "num_key_value_heads": 4, "pad_token_id": 128004, "pretraining_tp": 2, "rms_norm_eps": 1e-06,
    "rope_scaling": null, "rope_theta": 5000000.0, "sliding_window": null,
    "torch_dtype": "bfloat16", "transformers_version": "4.54.0", "use_cache": false,
    "use_sliding_window": false, "vocab_size": 128256})");
  for (int i = 0; i < 36; ++i) {
    config["no_rope_layers"].push_back((i + 1) % 4 == 0 ? 0 : 1);
    config["layer_types"].push_back("full_attention");
  }
  return config;
}

Json phi4() {
  return Json::parse(R"({
    "architectures": ["Phi3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
    "bos_token_id": 100257, "embd_pdrop": 0.0, "eos_token_id": 100265, "hidden_act": "silu",
    "hidden_size": 5120, "initializer_range": 0.02, "intermediate_size": 17920,
    "max_position_embeddings": 16384, "model_type": "phi3", "num_attention_heads": 40,
    "num_hidden_layers": 40, "num_key_value_heads": 10, "original_max_position_embeddings": 16384,
    "pad_token_id": 100349, "resid_pdrop": 0.0, "rms_norm_eps": 1e-05, "rope_scaling": null,
    "rope_theta": 250000, "sliding_window": null, "tie_word_embeddings": false,
    "torch_dtype": "bfloat16", "transformers_version": "4.47.0", "use_cache": true,
    "vocab_size": 100352})");
}

// The shape of phi-4-mini.
Json phi4_mini() {
  Json config = phi4();
  config.update({{"hidden_size", 3072},
                 {"intermediate_size", 8192},
                 {"max_position_embeddings", 131072},
                 {"num_attention_heads", 24},
                 {"num_hidden_layers", 32},
                 {"num_key_value_heads", 8},
                 {"original_max_position_embeddings", 4096},
                 {"partial_rotary_factor", 0.75},
                 {"rope_theta", 10000.0},
                 {"sliding_window", 262144},
                 {"tie_word_embeddings", true},
                 {"vocab_size", 200064}});
  config["rope_scaling"] = {{"type", "longrope"},
                            {"short_factor", std::vector<double>(48, 1.0)},
                            {"long_factor", std::vector<double>(48, 2.0)}};
  return config;
}

TEST(SmolLm3Config, Published3b) {
  const ModelSpec spec = make_spec(smollm3_3b());
  EXPECT_TRUE(spec.tied_head);
  EXPECT_EQ(n_parameters(smollm3_3b()), 3'075'098'624);
  EXPECT_EQ(kv_bytes(spec), 73'728);
  for (size_t i = 0; i < 36; ++i) {
    const RopeSpec& rope = spec.ropes[static_cast<size_t>(gqa(spec, i).rope)];
    EXPECT_EQ(rope.inv_freq.size() == 1 && rope.inv_freq[0] == 0, i % 4 == 3) << i;
  }
  // The list goes before the interval; without it every fourth layer does not rotate.
  Json config = smollm3_3b();
  config["no_rope_layers"][0] = 0;
  EXPECT_NE(gqa(make_spec(config), 0).rope, gqa(make_spec(config), 1).rope);
  config.erase("no_rope_layers");
  EXPECT_EQ(make_spec(config).ropes, spec.ropes);
  EXPECT_EQ(gqa(make_spec(config), 3).rope, gqa(spec, 3).rope);
}

TEST(SmolLm3Config, RefusesWhatItWouldComputeWrongly) {
  expect_refused(with(smollm3_3b(), "no_rope_layers", {1, 0}), ErrorCode::kCorrupt,
                 "no_rope_layers");
  expect_refused(with(smollm3_3b(), "use_sliding_window", true), ErrorCode::kUnsupported,
                 "use_sliding_window");
  expect_refused(with(smollm3_3b(), "layer_types", {"sliding_attention"}), ErrorCode::kUnsupported,
                 "sliding_attention");
  expect_refused(with(smollm3_3b(), "no_rope_layers", {-1}), ErrorCode::kCorrupt, "no_rope_layers");
}

TEST(Phi3Config, PublishedPhi4) {
  const ModelSpec spec = make_spec(phi4());
  EXPECT_EQ(gqa(spec, 0).head_dim, 128);
  EXPECT_EQ(gqa(spec, 0).window, 0);
  EXPECT_EQ(spec.ropes[0].inv_freq.size(), 64u);
  EXPECT_TRUE(spec.ropes[0].long_inv_freq.empty());
  EXPECT_EQ(n_parameters(phi4()), 14'659'507'200);
  EXPECT_EQ(kv_bytes(spec), 204'800);
}

TEST(Phi3Config, PublishedPhi4Mini) {
  for (const char* type : {"longrope", "su", "yarn"}) {
    Json config = phi4_mini();
    config["rope_scaling"]["type"] = type;
    const ModelSpec spec = make_spec(config);
    const RopeSpec& rope = spec.ropes[0];
    ASSERT_EQ(rope.inv_freq.size(), 48u);
    EXPECT_EQ(rope.short_positions, 4096);
    EXPECT_NEAR(rope.inv_freq[24], 0.01, 1e-8);
    EXPECT_NEAR(rope.long_inv_freq[24], 0.005, 1e-8);
    EXPECT_NEAR(rope.scale, 1.19024, 1e-5);
    EXPECT_EQ(n_parameters(config), 3'836'021'760);
    EXPECT_EQ(kv_bytes(spec), 131'072);
  }
}

TEST(Phi3Config, RefusesWhatItWouldComputeWrongly) {
  const auto rope = [](const char* key, const Json& value) {
    Json config = phi4_mini();
    config["rope_scaling"][key] = value;
    return config;
  };
  expect_refused(rope("type", "linear"), ErrorCode::kUnsupported, "linear");
  expect_refused(rope("long_factor", {1.0, 2.0}), ErrorCode::kCorrupt, "long_factor has 2");
  expect_refused(rope("short_factor", nullptr), ErrorCode::kCorrupt, "short_factor has 0");
  expect_refused(rope("short_factor", std::vector<double>(48, 0.0)), ErrorCode::kCorrupt,
                 "short_factor");
  expect_refused(rope("long_mscale", 1.5), ErrorCode::kUnsupported, "long_mscale");
  expect_refused(with(phi4(), "partial_rotary_factor", 1.5), ErrorCode::kCorrupt,
                 "partial_rotary_factor");
  expect_refused(with(phi4(), "partial_rotary_factor", 0.01), ErrorCode::kCorrupt,
                 "partial_rotary_factor");
  expect_refused(with(phi4(), "attention_bias", true), ErrorCode::kUnsupported, "attention_bias");
  expect_refused(with(phi4(), "vision_lora", {{"r", 256}}), ErrorCode::kUnsupported, "vision_lora");
  expect_refused(with(phi4(), "rope_scaling", "su"), ErrorCode::kCorrupt, "rope_scaling");
}

}  // namespace
}  // namespace tq::test
