// What the metadata of each architecture comes to, and what is refused. That files of them compute
// what their checkpoints compute: unit/model/gguf_golden_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "io/gguf/gguf_config.h"
#include "support/gguf_builder.h"
#include "unit/io/gguf_config_test_util.h"

namespace tq {
namespace {

using fixtures::config_of;
using fixtures::expect_refused;
using fixtures::GgufBuilder;
using fixtures::tiny_gguf;
using ::testing::HasSubstr;

GgufBuilder with_yarn(const std::string& arch) {
  GgufBuilder builder = tiny_gguf(arch);
  builder.string(arch + ".rope.scaling.type", "yarn").f32(arch + ".rope.scaling.factor", 4.0f);
  return builder.u32(arch + ".rope.scaling.original_context_length", 32);
}

TEST(GgufYarn, IsTranslated) {
  GgufBuilder builder = with_yarn("qwen2");
  EXPECT_EQ(
      config_of(builder)["rope_scaling"],
      (Json{{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 32}}));
  builder.f32("qwen2.rope.scaling.yarn_beta_fast", 16.0f);
  builder.f32("qwen2.rope.scaling.yarn_beta_slow", 2.0f);
  builder.f32("qwen2.rope.scaling.yarn_attn_factor", 1.25f);
  const Json scaling = config_of(builder)["rope_scaling"];
  EXPECT_EQ(scaling["beta_fast"], 16.0);
  EXPECT_EQ(scaling["beta_slow"], 2.0);
  EXPECT_EQ(scaling["attention_factor"], 1.25);
  expect_refused(with_yarn("qwen2").f32("qwen2.rope.scaling.yarn_ext_factor", 0.5f),
                 ErrorCode::kUnsupported, "yarn_ext_factor is 0.5, not 1");
  expect_refused(with_yarn("qwen2").erase("qwen2.rope.scaling.factor"), ErrorCode::kNotFound,
                 "rope.scaling.factor is missing");
  expect_refused(with_yarn("qwen2").erase("qwen2.rope.scaling.original_context_length"),
                 ErrorCode::kNotFound, "original_context_length is missing");
  // Only Ministral's files have it.
  expect_refused(with_yarn("qwen2").f32("qwen2.rope.scaling.yarn_log_multiplier", 1.0f),
                 ErrorCode::kUnsupported, "yarn_log_multiplier is not understood");
}

TEST(GgufArchs, Mistral3) {
  GgufBuilder builder = with_yarn("mistral3");
  builder.f32("mistral3.rope.scaling.yarn_log_multiplier", 1.0f);
  builder.f32("mistral3.attention.temperature_scale", 0.1f);
  const Json config = config_of(builder);
  EXPECT_EQ(config["model_type"], "ministral3");
  EXPECT_EQ(config["rope_scaling"]["mscale"], 1.0);
  EXPECT_EQ(config["rope_scaling"]["mscale_all_dim"], 1.0);
  EXPECT_EQ(config["rope_scaling"]["llama_4_scaling_beta"], 0.1);
  EXPECT_TRUE(config["sliding_window"].is_null());
  expect_refused(tiny_gguf("mistral3").f32("mistral3.attention.temperature_scale", 0.1f),
                 ErrorCode::kUnsupported, "temperature_scale is set without yarn");
  expect_refused(tiny_gguf("mistral3").f32("mistral3.rope.scaling.yarn_log_multiplier", 1.0f),
                 ErrorCode::kUnsupported, "yarn_log_multiplier is set without yarn");
  expect_refused(tiny_gguf("mistral3").u32("mistral3.expert_count", 8), ErrorCode::kUnsupported,
                 "expert_count is 8");
}

TEST(GgufArchs, SmolLm3) {
  const Json config = config_of(tiny_gguf("smollm3"));
  EXPECT_EQ(config["model_type"], "smollm3");
  EXPECT_EQ(config["no_rope_layer_interval"], 4);
}

TEST(GgufArchs, Qwen3) {
  EXPECT_EQ(config_of(tiny_gguf("qwen3"))["model_type"], "qwen3");
  expect_refused(tiny_gguf("qwen3").u32("qwen3.expert_count", 8), ErrorCode::kUnsupported,
                 "expert_count is 8");
  const auto moe = [] {
    GgufBuilder builder = tiny_gguf("qwen3moe");
    builder.u32("qwen3moe.expert_count", 8).u32("qwen3moe.expert_used_count", 2);
    return builder.u32("qwen3moe.expert_feed_forward_length", 32);
  };
  const Json config = config_of(moe().erase_tensor("blk.1.ffn_gate.weight"));
  EXPECT_EQ(config["model_type"], "qwen3_moe");
  EXPECT_EQ(config["norm_topk_prob"], true);
  EXPECT_EQ(config["mlp_only_layers"], Json::parse("[0]"));
  expect_refused(moe().u32("qwen3moe.expert_gating_func", 2), ErrorCode::kUnsupported,
                 "expert_gating_func is 2, not 1");
  expect_refused(moe().boolean("qwen3moe.expert_weights_norm", false), ErrorCode::kUnsupported,
                 "expert_weights_norm is false");
  expect_refused(moe().erase("qwen3moe.expert_used_count"), ErrorCode::kNotFound,
                 "expert_used_count is missing");
}

// Only what is read may be there.
TEST(GgufArchs, Ministral3HasNoDivisorsOfFrequencies) {
  GgufBuilder builder = tiny_gguf("mistral3");
  EXPECT_EQ(config_of(builder)["model_type"], "ministral3");
  builder.tensor("rope_freqs.weight", {8}, std::vector<float>(8, 5.0f));
  expect_refused(builder, ErrorCode::kUnsupported, "rope_freqs.weight");
}

TEST(GgufArchs, Phi3) {
  GgufBuilder builder = tiny_gguf("phi3");
  builder.u32("phi3.rope.dimension_count", 12).u32("phi3.attention.sliding_window", 0);
  builder.u32("phi3.rope.scaling.original_context_length", 64);
  Json config = config_of(builder);
  EXPECT_EQ(config["partial_rotary_factor"], 0.75);
  EXPECT_TRUE(config["sliding_window"].is_null() && config["rope_scaling"].is_null());
  EXPECT_EQ(config["original_max_position_embeddings"], 64);
  const std::vector<float> factors(6, 1.5f);
  builder.tensor("rope_factors_long.weight", {6}, factors);
  expect_refused(builder, ErrorCode::kNotFound, "rope_factors_short.weight");
  GgufBuilder half = tiny_gguf("phi3");
  half.tensor("rope_factors_short.weight", {8}, std::vector<float>(8, 1.5f));
  expect_refused(half, ErrorCode::kNotFound, "rope_factors_long.weight");
  builder.tensor("rope_factors_short.weight", {6}, factors);
  builder.f32("phi3.rope.scaling.attn_factor", 1.19f);
  config = config_of(builder);
  EXPECT_EQ(config["rope_scaling"]["long_factor"], Json(factors));
  EXPECT_EQ(config["rope_scaling"]["attention_factor"], 1.19);
  builder.u32("phi3.rope.dimension_count", 16);
  expect_refused(builder, ErrorCode::kCorrupt, "8 plain numbers were expected");
  expect_refused(with_yarn("phi3"), ErrorCode::kUnsupported, "rope.scaling.type is set");
}

GgufBuilder tiny_gemma4() {
  GgufBuilder builder = tiny_gguf("gemma4", {.n_layers = 6});
  builder.u32("gemma4.attention.sliding_window", 8);
  return builder.tensor("rope_freqs.weight", {8}, {1, 1, 1e30f, 1e30f, 1e30f, 1e30f, 1e30f, 1e30f});
}

TEST(GgufArchs, Gemma4) {
  const Json config = config_of(tiny_gemma4());
  EXPECT_EQ(config["rope_parameters"]["full_attention"]["partial_rotary_factor"], 0.25);
  EXPECT_EQ(config["layer_types"][4], "sliding_attention");
  EXPECT_EQ(config["layer_types"][5], "full_attention");
  EXPECT_EQ(config["attention_k_eq_v"], false);
  EXPECT_EQ(config["enable_moe_block"], false);
  EXPECT_EQ(config_of(tiny_gemma4().erase_tensor("blk.5.attn_v.weight"))["attention_k_eq_v"], true);
  GgufBuilder wide = tiny_gemma4().i32s("gemma4.feed_forward_length", {96, 96, 96, 96, 192, 192});
  expect_refused(wide, ErrorCode::kUnsupported, "feed_forward_length is of several widths");
  wide.u32("gemma4.attention.shared_kv_layers", 2);
  EXPECT_EQ(config_of(wide)["use_double_wide_mlp"], true);
  GgufBuilder other = tiny_gemma4().erase_tensor("rope_freqs.weight");
  expect_refused(other, ErrorCode::kNotFound, "rope_freqs.weight");
  other.tensor("rope_freqs.weight", {8}, {1, 2, 1e30f, 1e30f, 1e30f, 1e30f, 1e30f, 1e30f});
  expect_refused(other, ErrorCode::kUnsupported, "not the proportional rope of Gemma 4");
  expect_refused(tiny_gemma4().i32s("gemma4.attention.head_count_kv", {2, 1, 2, 2, 2, 2}),
                 ErrorCode::kUnsupported, "head_count_kv is of several sizes");
  expect_refused(tiny_gemma4().i32s("gemma4.attention.head_count_kv", {2, 0, 2, 2, 2, 2}),
                 ErrorCode::kCorrupt, "head_count_kv holds 0");
}

GgufBuilder tiny_deepseek2() {
  GgufBuilder builder = tiny_gguf("deepseek2");
  const auto set = [&](const char* name, uint32_t value) {
    builder.u32(std::string("deepseek2.") + name, value);
  };
  set("attention.q_lora_rank", 24);
  set("attention.kv_lora_rank", 32);
  set("attention.key_length", 40);
  set("attention.value_length", 32);
  set("attention.key_length_mla", 24);
  set("attention.value_length_mla", 20);
  set("rope.dimension_count", 8);
  set("expert_count", 4);
  set("expert_used_count", 2);
  set("expert_feed_forward_length", 16);
  set("expert_shared_count", 1);
  set("leading_dense_block_count", 1);
  return builder.tensor("blk.1.exp_probs_b.bias", {4});
}

TEST(GgufArchs, Deepseek2AsGlm47Flash) {
  Json config = config_of(tiny_deepseek2());
  EXPECT_EQ(config["model_type"], "glm4_moe_lite");
  EXPECT_EQ(config["qk_nope_head_dim"], 16);
  EXPECT_EQ(config["qk_rope_head_dim"], 8);
  EXPECT_EQ(config["v_head_dim"], 20);
  EXPECT_EQ(config["num_hidden_layers"], 2);
  config = config_of(tiny_deepseek2().u32("deepseek2.nextn_predict_layers", 1));
  EXPECT_EQ(config["num_hidden_layers"], 1);
  EXPECT_EQ(config["num_nextn_predict_layers"], 1);
  expect_refused(tiny_deepseek2().u32("deepseek2.nextn_predict_layers", 2), ErrorCode::kUnsupported,
                 "nextn_predict_layers is 2");
  expect_refused(tiny_deepseek2().u32("deepseek2.expert_gating_func", 1), ErrorCode::kUnsupported,
                 "expert_gating_func is 1, not 2");
  expect_refused(tiny_deepseek2().erase_tensor("blk.1.exp_probs_b.bias"), ErrorCode::kUnsupported,
                 "there is no tensor blk.1.exp_probs_b.bias");
  expect_refused(tiny_deepseek2().erase("deepseek2.attention.q_lora_rank"), ErrorCode::kNotFound,
                 "q_lora_rank is missing");
  expect_refused(tiny_deepseek2().u32("deepseek2.rope.dimension_count", 24),
                 ErrorCode::kUnsupported, "key_length is 40, not 56");
  GgufBuilder yarn = tiny_deepseek2().string("deepseek2.rope.scaling.type", "yarn");
  yarn.f32("deepseek2.rope.scaling.factor", 40.0f);
  yarn.u32("deepseek2.rope.scaling.original_context_length", 4096);
  expect_refused(yarn, ErrorCode::kUnsupported, "rope.scaling.type is set");
}

TEST(GgufArchs, GptOss) {
  const auto gpt_oss = [] {
    GgufBuilder builder = with_yarn("gpt-oss");
    builder.u32("gpt-oss.expert_count", 8).u32("gpt-oss.expert_used_count", 2);
    builder.u32("gpt-oss.attention.sliding_window", 8);
    return builder.u32("gpt-oss.expert_feed_forward_length", 32);
  };
  const Json config = config_of(gpt_oss());
  EXPECT_EQ(config["model_type"], "gpt_oss");
  EXPECT_EQ(config["intermediate_size"], 32);
  EXPECT_EQ(config["rope_scaling"]["truncate"], false);
  expect_refused(gpt_oss().erase("gpt-oss.rope.scaling.type"), ErrorCode::kUnsupported,
                 "rope.scaling.type is not yarn");
  expect_refused(gpt_oss().f32("gpt-oss.swiglu_clamp_exp", 5.0f), ErrorCode::kUnsupported,
                 "swiglu_clamp_exp is not understood");
}

}  // namespace
}  // namespace tq
