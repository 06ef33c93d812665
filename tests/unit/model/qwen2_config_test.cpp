// Qwen2 and Qwen2.5 configs to ModelSpecs: the published shapes, which layers slide and what is
// refused.
#include <gtest/gtest.h>

#include <cmath>

#include "unit/model/config_test_util.h"

namespace tq::test {
namespace {

// As published with Qwen2.5-0.5B-Instruct: a window is named and not used.
Json qwen25_05b() {
  return Json::parse(R"({
    "architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 151643,
    "eos_token_id": 151645, "hidden_act": "silu", "hidden_size": 896, "initializer_range": 0.02,
    "intermediate_size": 4864, "max_position_embeddings": 32768, "max_window_layers": 21,
    "model_type": "qwen2", "num_attention_heads": 14, "num_hidden_layers": 24,
    "num_key_value_heads": 2, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
    "sliding_window": 32768, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
    "transformers_version": "4.43.1", "use_cache": true, "use_sliding_window": false,
    "vocab_size": 151936})");
}

Json qwen25_7b() {
  Json config = qwen25_05b();
  config.update({{"hidden_size", 3584},
                 {"intermediate_size", 18944},
                 {"max_window_layers", 28},
                 {"num_attention_heads", 28},
                 {"num_hidden_layers", 28},
                 {"num_key_value_heads", 4},
                 {"sliding_window", 131072},
                 {"tie_word_embeddings", false},
                 {"vocab_size", 152064}});
  return config;
}

std::vector<int64_t> windows(const Json& config) { return make_spec(config).windows(); }

TEST(Qwen2Config, Published05b) {
  const ModelSpec spec = make_spec(qwen25_05b());
  EXPECT_EQ(spec.arch, "qwen2");
  EXPECT_TRUE(spec.tied_head);
  EXPECT_EQ(spec.max_position, 32768);
  ASSERT_EQ(spec.layers.size(), 24u);
  EXPECT_EQ(gqa(spec, 23).head_dim, 64);
  EXPECT_FLOAT_EQ(gqa(spec, 23).scale, 0.125f);
  EXPECT_TRUE(gqa(spec, 23).bias);
  EXPECT_FALSE(gqa(spec, 23).o_bias || gqa(spec, 23).qk_norm || mlp(spec, 23).bias);
  EXPECT_EQ(gqa(spec, 23).window, 0);
  EXPECT_NEAR(spec.ropes[0].inv_freq[16], 1e-3, 1e-9);
  EXPECT_EQ(n_parameters(qwen25_05b()), 494'032'768);
  EXPECT_EQ(kv_bytes(spec), 12'288);
}

TEST(Qwen2Config, Published7b) {
  const ModelSpec spec = make_spec(qwen25_7b());
  EXPECT_EQ(gqa(spec, 0).head_dim, 128);
  EXPECT_EQ(n_parameters(qwen25_7b()), 7'615'616'512);
  EXPECT_EQ(kv_bytes(spec), 57'344);
}

TEST(Qwen2Config, WhichLayersSlide) {
  Json config = qwen25_05b();
  config.update({{"num_hidden_layers", 4}, {"sliding_window", 100}, {"max_window_layers", 3}});
  EXPECT_THAT(windows(config), testing::ElementsAre(0, 0, 0, 0));
  config["use_sliding_window"] = true;
  EXPECT_THAT(windows(config), testing::ElementsAre(0, 0, 0, 100));
  config["max_window_layers"] = 0;
  EXPECT_THAT(windows(config), testing::Each(100));
  // layer_types comes first.
  config["layer_types"] = {"full_attention", "sliding_attention", "full_attention",
                           "full_attention"};
  EXPECT_THAT(windows(config), testing::ElementsAre(0, 100, 0, 0));
  // No window, nothing slides.
  EXPECT_THAT(windows(with(with(config, "layer_types", nullptr), "sliding_window", nullptr)),
              testing::Each(0));
  // The defaults of transformers.
  config.erase("layer_types");
  config.erase("sliding_window");
  config.erase("max_window_layers");
  config["num_hidden_layers"] = 30;
  EXPECT_EQ(windows(config)[27], 0);
  EXPECT_EQ(windows(config)[28], 4096);
}

// The biases are part of the architecture, whatever other programs write.
TEST(Qwen2Config, BiasesAreNotASwitch) {
  for (const bool value : {false, true}) {
    const ModelSpec spec = make_spec(with(qwen25_05b(), "attention_bias", value));
    EXPECT_TRUE(gqa(spec, 0).bias) << value;
    EXPECT_FALSE(gqa(spec, 0).o_bias) << value;
  }
}

TEST(Qwen2Config, RefusesWhatItWouldComputeWrongly) {
  const Json config = with(qwen25_05b(), "num_hidden_layers", 2);
  expect_refused(with(config, "hidden_act", "gelu"), ErrorCode::kUnsupported, "hidden_act");
  expect_refused(with(config, "rope_scaling", Json::parse(R"({"type": "dynamic", "factor": 4.0})")),
                 ErrorCode::kUnsupported, "dynamic");
  expect_refused(with(config, "dual_chunk_attention_config", {{"chunk_size", 262144}}),
                 ErrorCode::kUnsupported, "dual_chunk_attention_config");
  expect_refused(with(config, "layer_types", {"linear_attention", "full_attention"}),
                 ErrorCode::kUnsupported, "linear_attention");
  expect_refused(with(config, "layer_types", {"sliding_attention", "full_attention"}),
                 ErrorCode::kCorrupt, "use_sliding_window");
  expect_refused(with(config, "layer_types", {"full_attention"}), ErrorCode::kCorrupt,
                 "layer_types");
  expect_refused(with(config, "num_attention_heads", 13), ErrorCode::kCorrupt, "13");
  expect_refused(with(config, "model_type", "qwen2_moe"), ErrorCode::kUnsupported, "qwen2_moe");
}

}  // namespace
}  // namespace tq::test
