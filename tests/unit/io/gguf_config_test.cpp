#include "io/gguf/gguf_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "base/error.h"
#include "support/gguf_builder.h"
#include "unit/io/gguf_config_test_util.h"

namespace tq {
namespace {

using fixtures::config_of;
using fixtures::expect_refused;
using fixtures::GgufBuilder;
using fixtures::tiny_gguf;
using fixtures::TinyGguf;
using ::testing::HasSubstr;

TEST(GgufConfig, Llama) {
  GgufBuilder builder = tiny_gguf("llama");
  builder.u32("tokenizer.ggml.bos_token_id", 1).u32("tokenizer.ggml.eos_token_id", 2);
  builder.u32("llama.rope.dimension_count", 16).u32("llama.vocab_size", 40);
  EXPECT_EQ(config_of(builder).dump(), Json::parse(R"({
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 40,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-05,
    "rope_theta": 100000.0,
    "rope_scaling": null,
    "attention_bias": false,
    "tie_word_embeddings": true,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "mlp_bias": false
  })")
                                           .dump());
}

TEST(GgufConfig, Gemma3) {
  GgufBuilder builder = tiny_gguf("gemma3", {.n_layers = 7, .head_dim = 32});
  builder.f32("gemma3.final_logit_softcapping", 30.0f);
  EXPECT_EQ(config_of(builder).dump(), Json::parse(R"({
    "architectures": ["Gemma3ForCausalLM"],
    "model_type": "gemma3_text",
    "vocab_size": 40,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 7,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-05,
    "rope_theta": 100000.0,
    "rope_scaling": null,
    "attention_bias": false,
    "tie_word_embeddings": true,
    "hidden_activation": "gelu_pytorch_tanh",
    "sliding_window": 8,
    "layer_types": ["sliding_attention", "sliding_attention", "sliding_attention",
                    "sliding_attention", "sliding_attention", "full_attention",
                    "sliding_attention"],
    "rope_local_base_freq": 10000.0,
    "query_pre_attn_scalar": 32,
    "attn_logit_softcapping": null,
    "final_logit_softcapping": 30.0
  })")
                                           .dump());
}

TEST(GgufConfig, Qwen2) {
  const Json config = config_of(tiny_gguf("qwen2"));
  EXPECT_EQ(config["model_type"], "qwen2");
  EXPECT_EQ(config["architectures"], Json::array({"Qwen2ForCausalLM"}));
  EXPECT_EQ(config["use_sliding_window"], false);
  EXPECT_EQ(config["hidden_act"], "silu");
  EXPECT_FALSE(config.contains("attention_bias"));
}

TEST(GgufConfig, DefaultsThatTheFormatDefines) {
  GgufBuilder builder = tiny_gguf("llama");
  builder.erase("llama.attention.head_count_kv").erase("llama.rope.freq_base");
  builder.erase("llama.attention.key_length").erase("llama.attention.value_length");
  const Json config = config_of(builder);
  EXPECT_EQ(config["num_key_value_heads"], 4);
  EXPECT_EQ(config["head_dim"], 16);
  EXPECT_EQ(config["rope_theta"], 10000.0);
  EXPECT_FALSE(config.contains("eos_token_id"));
}

TEST(GgufConfig, AnOutputTensorUntiesTheHead) {
  EXPECT_EQ(config_of(tiny_gguf("llama", {.tied = false}))["tie_word_embeddings"], false);
}

TEST(GgufConfig, LinearRopeScaling) {
  const Json linear = {{"rope_type", "linear"}, {"factor", 8.0}};
  GgufBuilder builder = tiny_gguf("gemma3");
  builder.string("gemma3.rope.scaling.type", "linear").f32("gemma3.rope.scaling.factor", 8.0f);
  EXPECT_EQ(config_of(builder)["rope_scaling"], linear);
  builder.string("gemma3.rope.scaling.type", "none");
  EXPECT_EQ(config_of(builder)["rope_scaling"], nullptr);
  builder.string("gemma3.rope.scaling.type", "longrope");
  expect_refused(builder, ErrorCode::kUnsupported, "gemma3.rope.scaling.type is longrope");
  EXPECT_EQ(config_of(tiny_gguf("llama").f32("llama.rope.scale_linear", 8.0f))["rope_scaling"],
            linear);
}

// The divisors a converter stores for Llama 3.2 (factor 32, low 1, high 4, 8192 positions).
std::vector<float> llama3_divisors(int64_t head_dim, double theta) {
  std::vector<float> out;
  for (int64_t i = 0; i < head_dim; i += 2) {
    const double inv_freq = 1.0 / std::pow(theta, static_cast<double>(i) / head_dim);
    const double wavelength = 2.0 * M_PI / inv_freq;
    if (wavelength < 8192.0 / 4.0) {
      out.push_back(1.0f);
    } else if (wavelength > 8192.0 / 1.0) {
      out.push_back(32.0f);
    } else {
      const double smooth = (8192.0 / wavelength - 1.0) / (4.0 - 1.0);
      out.push_back(static_cast<float>(1.0 / ((1.0 - smooth) / 32.0 + smooth)));
    }
  }
  return out;
}

GgufBuilder llama3(const std::vector<float>& divisors) {
  GgufBuilder builder = tiny_gguf("llama", {.head_dim = 64});
  builder.f32("llama.rope.freq_base", 500000.0f);
  builder.tensor("rope_freqs.weight", {static_cast<int64_t>(divisors.size())}, divisors);
  return builder;
}

TEST(GgufConfig, TranslatesTheRopeScalingOfLlama3) {
  std::vector<float> divisors = llama3_divisors(64, 500000.0);
  EXPECT_EQ(config_of(llama3(divisors))["rope_scaling"],
            (Json{{"rope_type", "llama3"},
                  {"factor", 32.0},
                  {"low_freq_factor", 1.0},
                  {"high_freq_factor", 4.0},
                  {"original_max_position_embeddings", 8192}}));
  GgufBuilder both = llama3(divisors);
  both.f32("llama.rope.scaling.factor", 2.0f);
  expect_refused(both, ErrorCode::kUnsupported, "rope_freqs.weight too");
  divisors[20] *= 1.01f;
  expect_refused(llama3(divisors), ErrorCode::kUnsupported, "is not the rope scaling of Llama 3");
  divisors[20] = NAN;
  expect_refused(llama3(divisors), ErrorCode::kUnsupported, "is not the rope scaling of Llama 3");
  divisors.pop_back();
  expect_refused(llama3(divisors), ErrorCode::kCorrupt, "32 plain numbers were expected");
}

TEST(GgufConfig, SlidingLayersOfGemma3) {
  GgufBuilder builder = tiny_gguf("gemma3", {.n_layers = 3});
  const auto types = [&] { return config_of(builder)["layer_types"].dump(); };
  EXPECT_EQ(types(), R"(["sliding_attention","sliding_attention","sliding_attention"])");
  builder.u32("gemma3.attention.sliding_window_pattern", 2);
  EXPECT_EQ(types(), R"(["sliding_attention","full_attention","sliding_attention"])");
  builder.array("gemma3.attention.sliding_window_pattern", GgufBuilder::kBool, 3,
                std::string("\0\1\0", 3));
  EXPECT_EQ(types(), R"(["full_attention","sliding_attention","full_attention"])");
  builder.i32s("gemma3.attention.sliding_window_pattern", {1, 0});
  expect_refused(builder, ErrorCode::kUnsupported, "of 2 layers, not 3");
}

TEST(GgufConfig, OnlyGemma3Of27BScalesQueriesByTheHiddenSize) {
  const TinyGguf size = {.n_layers = 62, .head_dim = 32};
  EXPECT_EQ(config_of(tiny_gguf("gemma3", size))["query_pre_attn_scalar"], 64 / 4);
}

TEST(GgufConfig, RefusesOtherArchitectures) {
  expect_refused(tiny_gguf("llama").string("general.architecture", "mamba"),
                 ErrorCode::kUnsupported,
                 "architecture mamba is not supported; supported are llama, qwen2, gemma3");
  expect_refused(tiny_gguf("llama").erase("general.architecture"), ErrorCode::kCorrupt,
                 "general.architecture is missing");
}

TEST(GgufConfig, RefusesWhatItDoesNotUnderstand) {
  expect_refused(tiny_gguf("llama").f32("llama.logit_scale", 2.0f), ErrorCode::kUnsupported,
                 "llama.logit_scale is not understood");
  expect_refused(tiny_gguf("llama").u32("llama.expert_count", 8), ErrorCode::kUnsupported,
                 "llama.expert_count is 8, not 0");
  expect_refused(tiny_gguf("llama").u32("llama.attention.value_length", 8), ErrorCode::kUnsupported,
                 "llama.attention.value_length is 8, not 16");
  expect_refused(tiny_gguf("llama").u32("llama.rope.dimension_count", 8), ErrorCode::kUnsupported,
                 "llama.rope.dimension_count is 8, not 16");
  EXPECT_NO_THROW(config_of(tiny_gguf("llama").u32("llama.expert_count", 0)));
  EXPECT_NO_THROW(config_of(tiny_gguf("llama").u32("other.key", 1)));
}

// A special token that cannot be is as good as none.
TEST(GgufConfig, LeavesOutTokensOutsideTheVocabulary) {
  const GgufBuilder builder = tiny_gguf("llama")
                                  .u32("tokenizer.ggml.eos_token_id", 0xffffffffu)
                                  .u32("tokenizer.ggml.bos_token_id", 40);
  EXPECT_FALSE(config_of(builder).contains("eos_token_id"));
  EXPECT_FALSE(config_of(builder).contains("bos_token_id"));
}

TEST(GgufConfig, SaysWhichBiasesThereAre) {
  GgufBuilder builder = tiny_gguf("llama");
  EXPECT_EQ(config_of(builder)["attention_bias"], false);
  builder.tensor("blk.0.attn_q.bias", {64});
  EXPECT_EQ(config_of(builder)["attention_bias"], false);  // which means the output's as well
  builder.tensor("blk.0.attn_output.bias", {64});
  EXPECT_EQ(config_of(builder)["attention_bias"], true);
  EXPECT_EQ(config_of(builder)["mlp_bias"], false);
}

TEST(GgufConfig, RefusesBrokenValues) {
  for (const char* key : {"block_count", "embedding_length", "feed_forward_length",
                          "attention.head_count", "context_length"}) {
    const std::string full = "llama." + std::string(key);
    expect_refused(tiny_gguf("llama").erase(full), ErrorCode::kNotFound, full + " is missing");
    expect_refused(tiny_gguf("llama").u32(full, 0), ErrorCode::kCorrupt, full + " is 0");
    expect_refused(tiny_gguf("llama").u32(full, 0xffffffffu), ErrorCode::kCorrupt,
                   full + " is 429");
    expect_refused(tiny_gguf("llama").string(full, "x"), ErrorCode::kCorrupt, full + " is of type");
  }
  const std::string eps = "llama.attention.layer_norm_rms_epsilon";
  expect_refused(tiny_gguf("llama").erase(eps), ErrorCode::kNotFound, eps + " is missing");
  expect_refused(tiny_gguf("llama").f32(eps, NAN), ErrorCode::kCorrupt, eps + " is nan");
  expect_refused(tiny_gguf("llama").f32(eps, -1.0f), ErrorCode::kCorrupt, eps + " is -1");
  expect_refused(tiny_gguf("llama").u32("llama.block_count", 1000), ErrorCode::kCorrupt,
                 "1000 layers, but only 20 tensors");
  expect_refused(tiny_gguf("llama").erase_tensor("token_embd.weight"), ErrorCode::kNotFound,
                 "no tensor token_embd.weight");
  expect_refused(tiny_gguf("llama").u32("llama.embedding_length", 32), ErrorCode::kCorrupt,
                 "token_embd.weight has shape [40, 64], but embedding_length is 32");
  GgufBuilder odd = tiny_gguf("llama").erase("llama.attention.key_length");
  expect_refused(odd.u32("llama.attention.head_count", 3), ErrorCode::kUnsupported,
                 "llama.attention.head_count is 3, which does not divide 64");
  expect_refused(tiny_gguf("gemma3").erase("gemma3.attention.sliding_window"), ErrorCode::kNotFound,
                 "gemma3.attention.sliding_window is missing");
}

}  // namespace
}  // namespace tq
