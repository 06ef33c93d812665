// Configs to ModelSpecs, Llama and Gemma 3: published configs, both spellings of Gemma 3, and what
// is refused.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "unit/model/config_test_util.h"

namespace tq::test {
namespace {

// As published with SmolLM2-135M-Instruct.
Json smollm2() {
  return Json::parse(R"({
    "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
    "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 576,
    "initializer_range": 0.041666666666666664, "intermediate_size": 1536, "is_llama_config": true,
    "max_position_embeddings": 8192, "mlp_bias": false, "model_type": "llama",
    "num_attention_heads": 9, "num_hidden_layers": 30, "num_key_value_heads": 3, "pad_token_id": 2,
    "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_interleaved": false, "rope_scaling": null,
    "rope_theta": 100000, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
    "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16", "fp16": "float16"}},
    "transformers_version": "4.42.3", "use_cache": true, "vocab_size": 49152})");
}

// As published with gemma-3-1b-it.
Json gemma3_1b() {
  return Json::parse(R"({
    "architectures": ["Gemma3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
    "attn_logit_softcapping": null, "bos_token_id": 2, "cache_implementation": "hybrid",
    "eos_token_id": [1, 106], "final_logit_softcapping": null, "head_dim": 256,
    "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 1152, "initializer_range": 0.02,
    "intermediate_size": 6912, "max_position_embeddings": 32768, "model_type": "gemma3_text",
    "num_attention_heads": 4, "num_hidden_layers": 26, "num_key_value_heads": 1, "pad_token_id": 0,
    "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06, "rope_local_base_freq": 10000,
    "rope_scaling": null, "rope_theta": 1000000, "sliding_window": 512,
    "sliding_window_pattern": 6, "torch_dtype": "bfloat16",
    "transformers_version": "4.50.0.dev0", "use_cache": true, "vocab_size": 262144})");
}

TEST(LlamaConfig, SmolLm2) {
  const ModelSpec spec = make_spec(smollm2());
  EXPECT_EQ(spec.arch, "llama");
  EXPECT_EQ(spec.vocab, 49152);
  EXPECT_EQ(spec.hidden, 576);
  EXPECT_EQ(spec.max_position, 8192);
  EXPECT_FLOAT_EQ(spec.norm_eps, 1e-5f);
  EXPECT_EQ(spec.norm_weight_offset, 0);
  EXPECT_EQ(spec.embed_scale, 1);
  EXPECT_TRUE(spec.tied_head);
  ASSERT_EQ(spec.layers.size(), 30u);
  EXPECT_EQ(gqa(spec, 29).n_heads, 9);
  EXPECT_EQ(gqa(spec, 29).n_kv_heads, 3);
  EXPECT_EQ(gqa(spec, 29).head_dim, 64);
  EXPECT_EQ(gqa(spec, 29).scale, 0.125f);
  EXPECT_EQ(gqa(spec, 29).window, 0);
  EXPECT_FALSE(gqa(spec, 29).bias);
  EXPECT_EQ(mlp(spec, 0).width, 1536);
  EXPECT_EQ(mlp(spec, 0).activate, Activate::kSilu);
  EXPECT_FALSE(spec.layers[0].post_attention_norm);
  const auto& inv_freq = spec.ropes.at(0).inv_freq;
  ASSERT_EQ(inv_freq.size(), 32u);
  EXPECT_EQ(inv_freq[0], 1);
  EXPECT_NEAR(inv_freq[16], std::pow(100000.0, -0.5), 1e-9);
  const KvLayerShape kv = spec.kv_layers().at(7);
  EXPECT_EQ(kv.n_kv_heads, 3);
  EXPECT_EQ(kv.k_dim, 64);
  EXPECT_EQ(kv.v_dim, 64);
}

TEST(LlamaConfig, HeadsThatNoKernelTakesAreRefused) {
  EXPECT_EQ(gqa(make_spec(with(smollm2(), "head_dim", 1024)), 0).head_dim, 1024);
  expect_refused(with(smollm2(), "head_dim", 1026), ErrorCode::kCorrupt, "head_dim");
  // Not named, but what the config comes to.
  Json wide = with(with(smollm2(), "num_attention_heads", 1), "num_key_value_heads", 1);
  wide.erase("head_dim");
  expect_refused(with(wide, "hidden_size", 2048), ErrorCode::kUnsupported, "head_dim is 2048");
}

TEST(LlamaConfig, DefaultsOfMissingFields) {
  Json config = smollm2();
  for (const char* key : {"num_key_value_heads", "tie_word_embeddings", "rope_theta",
                          "max_position_embeddings", "rms_norm_eps", "hidden_act"}) {
    config.erase(key);
  }
  const ModelSpec spec = make_spec(config);
  EXPECT_EQ(gqa(spec, 0).n_kv_heads, 9);
  EXPECT_FALSE(spec.tied_head);
  EXPECT_NEAR(spec.ropes[0].inv_freq[16], 0.01, 1e-9);
  EXPECT_EQ(spec.max_position, 2048);
  EXPECT_FLOAT_EQ(spec.norm_eps, 1e-6f);
}

TEST(LlamaConfig, Biases) {
  Json config = smollm2();
  config["attention_bias"] = true;
  EXPECT_TRUE(gqa(make_spec(config), 0).bias);
  EXPECT_FALSE(mlp(make_spec(config), 0).bias);
  config["mlp_bias"] = true;
  EXPECT_TRUE(mlp(make_spec(config), 0).bias);
}

TEST(LlamaConfig, RopeScalingOfBothSpellings) {
  Json old_style = smollm2();
  old_style["rope_scaling"] = {{"type", "linear"}, {"factor", 4.0}};
  Json new_style = smollm2();
  new_style.erase("rope_theta");
  new_style.erase("rope_scaling");
  new_style["rope_parameters"] = {
      {"rope_type", "linear"}, {"factor", 4.0}, {"rope_theta", 100000.0}};
  const ModelSpec plain = make_spec(smollm2());
  for (const Json& config : {old_style, new_style}) {
    const ModelSpec spec = make_spec(config);
    for (size_t j = 0; j < 32; ++j) {
      EXPECT_FLOAT_EQ(spec.ropes[0].inv_freq[j], plain.ropes[0].inv_freq[j] / 4);
    }
  }
  old_style["rope_parameters"] = new_style["rope_parameters"];
  expect_refused(old_style, ErrorCode::kUnsupported, "both rope_scaling and rope_parameters");
}

// The three bands of Llama 3.1, by hand from the formula.
TEST(LlamaConfig, Llama3RopeScaling) {
  Json config = smollm2();
  config["rope_theta"] = 500000.0;
  config["rope_scaling"] = {{"factor", 8.0},
                            {"low_freq_factor", 1.0},
                            {"high_freq_factor", 4.0},
                            {"original_max_position_embeddings", 8192},
                            {"rope_type", "llama3"}};
  const auto inv_freq = make_spec(config).ropes[0].inv_freq;
  const auto plain = [](size_t j) { return std::pow(500000.0, -static_cast<double>(j) / 32); };
  EXPECT_NEAR(inv_freq[10], plain(10), 1e-7 * plain(10));      // wavelength 379 < 2048
  EXPECT_NEAR(inv_freq[31], plain(31) / 8, 1e-7 * plain(31));  // 2e6 > 8192
  const double turns = 8192 / (2 * M_PI / plain(16));          // 4442: between
  const double blend = (turns - 1) / 3;
  EXPECT_NEAR(inv_freq[16], plain(16) * ((1 - blend) / 8 + blend), 1e-6 * plain(16));
  config["rope_scaling"].erase("low_freq_factor");
  expect_refused(config, ErrorCode::kNotFound, "low_freq_factor");
  config["rope_scaling"]["low_freq_factor"] = 4.0;
  expect_refused(config, ErrorCode::kCorrupt, "low_freq_factor must be below");
}

TEST(LlamaConfig, RefusesOtherRopes) {
  Json config = smollm2();
  for (const char* type : {"dynamic", "longrope", "su"}) {
    config["rope_scaling"] = {{"rope_type", type}, {"factor", 4.0}};
    expect_refused(config, ErrorCode::kUnsupported, type);
  }
  config["rope_scaling"] = {{"type", "linear"}, {"factor", 4.0}, {"attention_factor", 1.5}};
  expect_refused(config, ErrorCode::kUnsupported, "attention_factor");
  config["rope_scaling"] = {{"type", "linear"}, {"factor", -4.0}};
  expect_refused(config, ErrorCode::kCorrupt, "factor");
  config["rope_scaling"] = {{"rope_type", "default"}, {"partial_rotary_factor", 0.5}};
  expect_refused(config, ErrorCode::kUnsupported, "partial_rotary_factor");
  config["rope_scaling"] = "linear";
  expect_refused(config, ErrorCode::kCorrupt, "rope_scaling");
  config["rope_scaling"] = nullptr;
  config["rope_theta"] = -1;
  expect_refused(config, ErrorCode::kCorrupt, "rope_theta");
}

TEST(LlamaConfig, RefusesWhatItWouldComputeWrongly) {
  const auto with = [](const char* key, const Json& value) {
    Json config = smollm2();
    config[key] = value;
    return config;
  };
  expect_refused(with("hidden_act", "gelu"), ErrorCode::kUnsupported, "hidden_act");
  expect_refused(with("rope_interleaved", true), ErrorCode::kUnsupported, "rope_interleaved");
  expect_refused(with("sliding_window", 4096), ErrorCode::kUnsupported,
                 "\"sliding_window\" = 4096");
  expect_refused(with("residual_multiplier", 0.22), ErrorCode::kUnsupported, "residual_multiplier");
  expect_refused(with("embedding_scale", 0), ErrorCode::kUnsupported, "embedding_scale");
  make_spec(with("sliding_window", nullptr));
  make_spec(with("use_qk_norm", false));
  make_spec(with("no_rope_layers", Json::array()));
}

// As the tools write them: unsloth, transformers' full dumps of 4.x and 5.x, axolotl,
// LLaMA-Factory, peft and trl.
TEST(LlamaConfig, IgnoresWhatCannotMatter) {
  const Json fields = {{"unsloth_version", "2026.3.3"},
                       {"unsloth_fixed", true},
                       {"model_name", "unsloth/x"},
                       {"_attn_implementation", "sdpa"},
                       {"attn_implementation", "flash_attention_2"},
                       {"_attn_implementation_internal", "eager"},
                       {"_attn_implementation_autoset", true},
                       {"_experts_implementation", "grouped_mm"},
                       {"_flash_attn_2_enabled", true},
                       {"use_flash_attention_2", true},
                       {"tokenizer_class", "LlamaTokenizer"},
                       {"tokenizer_padding_side", "right"},
                       {"_tokenizer_hash", 7},
                       {"padding_side", "left"},
                       {"image_token_index", 9},
                       {"decoder_start_token_id", 1},
                       {"forced_eos_token_id", 2},
                       {"diversity_penalty", 0.5},
                       {"encoder_repetition_penalty", 1.0},
                       {"num_beam_groups", 1},
                       {"num_beams", 1},
                       {"no_repeat_ngram_size", 3},
                       {"encoder_no_repeat_ngram_size", 3},
                       {"early_stopping", true},
                       {"output_scores", true},
                       {"output_attentions", true},
                       {"remove_invalid_values", true},
                       {"is_decoder", true},
                       {"use_bfloat16", true},
                       {"num_labels", 2},
                       {"id2label", {{"0", "LABEL_0"}}},
                       {"problem_type", "regression"},
                       {"classifier_dropout", 0.1},
                       {"hidden_dropout_prob", 0.1},
                       {"embd_pdrop", 0.1},
                       {"layerdrop", 0.1},
                       {"initializer_range", 0.02},
                       {"initializer_factor", 1.0},
                       {"gradient_checkpointing", true},
                       {"router_aux_loss_coef", 0.001},
                       {"tf_legacy_loss", true},
                       {"quantization_config", {{"quant_method", "turboquant"}}},
                       {"return_dict", true},
                       {"return_dict_in_generate", true},
                       {"temperature", 0.7},
                       {"top_k", 50},
                       {"min_p", 0.1},
                       {"max_new_tokens", 64},
                       {"transformers_version", "5.1"},
                       {"transformers_weights", "x"},
                       {"_name_or_path", "a/b"},
                       {"auto_map", {{"AutoModel", "x"}}},
                       {"max_seq_length", 2048},
                       {"neftune_noise_alpha", 5.0},
                       {"use_cache", true},
                       {"torch_dtype", "bfloat16"}};
  Json config = smollm2();
  config.update(fields);
  const ModelSpec spec = make_spec(config);
  EXPECT_EQ(spec.hidden, make_spec(smollm2()).hidden);
  EXPECT_EQ(spec.ropes, make_spec(smollm2()).ropes);
}

// Names that look like those of harmless fields, and are mathematics.
TEST(LlamaConfig, RefusesUnknownFieldsAndSaysHowToIgnoreThem) {
  for (const char* key : {"output_gate_type", "output_multiplier", "use_qk_norm", "logit_scale",
                          "attn_logit_softcapping", "use_dynamic_ntk", "sliding_window_size",
                          "no_rope_layers", "token_scale", "loss", "use_mrope", "alibi"}) {
    Json config = smollm2();
    config[key] = 2;
    expect_refused(config, ErrorCode::kUnsupported, std::string("--ignore-config ") + key);
  }
  Json config = smollm2();
  config["rope_scaling"] = {{"type", "linear"}, {"factor", 4.0}, {"attention_factor", 1.5}};
  expect_refused(config, ErrorCode::kUnsupported, "--ignore-config rope_scaling.attention_factor");
  config = smollm2();
  config.update({{"alibi", 1}, {"logit_scale", 2}});
  expect_refused(config, ErrorCode::kUnsupported,
                 "--ignore-config alibi --ignore-config logit_scale");
}

TEST(Gemma3Config, NamesFieldsOfTheTextConfigAsTheOptionTakesThem) {
  Json config = {{"model_type", "gemma3"}, {"text_config", gemma3_1b()}};
  config["text_config"]["alibi"] = 1;
  expect_refused(config, ErrorCode::kUnsupported, "give --ignore-config alibi");
}

TEST(LlamaConfig, RefusesBrokenValues) {
  const auto with = [](const char* key, const Json& value) {
    Json config = smollm2();
    config[key] = value;
    return config;
  };
  for (const Json& value : {Json(0), Json(-1), Json(1.5), Json("576"), Json(true), Json(1e30)}) {
    expect_refused(with("hidden_size", value), ErrorCode::kCorrupt, "hidden_size");
  }
  expect_refused(with("hidden_size", nullptr), ErrorCode::kNotFound, "hidden_size");
  expect_refused(with("num_hidden_layers", 100000000), ErrorCode::kCorrupt, "num_hidden_layers");
  expect_refused(with("head_dim", 1 << 20), ErrorCode::kCorrupt, "head_dim");
  expect_refused(with("head_dim", 63), ErrorCode::kCorrupt, "head_dim");
  expect_refused(with("num_key_value_heads", 2), ErrorCode::kCorrupt, "num_key_value_heads (2)");
  expect_refused(with("num_attention_heads", 7), ErrorCode::kCorrupt, "hidden_size (576)");
  expect_refused(with("rms_norm_eps", "1e-5"), ErrorCode::kCorrupt, "rms_norm_eps");
  expect_refused(with("rms_norm_eps", 1e300), ErrorCode::kCorrupt, "rms_norm_eps");
  expect_refused(with("rms_norm_eps", 1e-300), ErrorCode::kCorrupt, "rms_norm_eps");
  expect_refused(with("hidden_size", UINT64_MAX), ErrorCode::kCorrupt, "hidden_size");
  expect_refused(with("hidden_size", (int64_t{1} << 32) + 576), ErrorCode::kCorrupt, "hidden_size");
  expect_refused(with("tie_word_embeddings", 1), ErrorCode::kCorrupt, "tie_word_embeddings");
}

TEST(Gemma3Config, Published1b) {
  const ModelSpec spec = make_spec(gemma3_1b());
  EXPECT_EQ(spec.arch, "gemma3_text");
  EXPECT_EQ(spec.norm_weight_offset, 1);
  EXPECT_EQ(spec.embed_scale, 34.0f);  // sqrt(1152) = 33.94 in bf16
  EXPECT_TRUE(spec.tied_head);
  EXPECT_EQ(spec.final_softcap, 0);
  ASSERT_EQ(spec.layers.size(), 26u);
  for (size_t i = 0; i < 26; ++i) {
    const bool global = i == 5 || i == 11 || i == 17 || i == 23;
    EXPECT_EQ(gqa(spec, i).window, global ? 0 : 512) << i;
    const auto& rope = spec.ropes[static_cast<size_t>(gqa(spec, i).rope)];
    EXPECT_NEAR(rope.inv_freq[64], global ? 1e-3 : 1e-2, 1e-8) << i;
    EXPECT_TRUE(gqa(spec, i).qk_norm);
    EXPECT_EQ(gqa(spec, i).scale, 1.0f / 16);
    EXPECT_TRUE(spec.layers[i].post_attention_norm && spec.layers[i].post_ffn_norm);
  }
  EXPECT_EQ(mlp(spec, 0).activate, Activate::kGeluTanh);
}

TEST(Gemma3Config, NewSpellingIsTheSameModel) {
  Json config = gemma3_1b();
  for (const char* key :
       {"rope_theta", "rope_local_base_freq", "rope_scaling", "sliding_window_pattern"}) {
    config.erase(key);
  }
  config["_sliding_window_pattern"] = 6;
  config["layer_types"] = Json::array();
  for (int i = 0; i < 26; ++i) {
    config["layer_types"].push_back((i + 1) % 6 == 0 ? "full_attention" : "sliding_attention");
  }
  config["rope_parameters"] = {
      {"full_attention", {{"rope_type", "default"}, {"rope_theta", 1e6}}},
      {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 1e4}}}};
  const ModelSpec expected = make_spec(gemma3_1b());
  const ModelSpec spec = make_spec(config);
  EXPECT_EQ(spec.ropes, expected.ropes);
  for (size_t i = 0; i < 26; ++i) {
    EXPECT_EQ(gqa(spec, i).window, gqa(expected, i).window);
    EXPECT_EQ(gqa(spec, i).rope, gqa(expected, i).rope);
  }
}

TEST(Gemma3Config, EmbeddingScaleFollowsTheDtype) {
  Json config = gemma3_1b();
  config["hidden_size"] = 640;
  EXPECT_EQ(make_spec(config).embed_scale, 25.25f);
  config.erase("torch_dtype");
  EXPECT_EQ(make_spec(config).embed_scale, 25.25f);
  config["dtype"] = "float32";
  EXPECT_EQ(make_spec(config).embed_scale, std::sqrt(640.0f));
  config["dtype"] = "float8";
  expect_refused(config, ErrorCode::kUnsupported, "float8");
}

// As published with gemma-3-4b-it: most text fields are left to their defaults.
TEST(Gemma3Config, Multimodal4b) {
  const Json config = Json::parse(R"({
    "architectures": ["Gemma3ForConditionalGeneration"], "boi_token_index": 255999,
    "eoi_token_index": 256000, "eos_token_id": [1, 106], "image_token_index": 262144,
    "initializer_range": 0.02, "mm_tokens_per_image": 256, "model_type": "gemma3",
    "text_config": {"hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text",
      "num_hidden_layers": 34, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
      "sliding_window": 1024},
    "torch_dtype": "bfloat16", "transformers_version": "4.50.0.dev0",
    "vision_config": {"hidden_size": 1152, "model_type": "siglip_vision_model"}})");
  const ModelSpec spec = make_spec(config);
  EXPECT_EQ(spec.vocab, 262208);
  EXPECT_EQ(spec.layers.size(), 34u);
  EXPECT_EQ(gqa(spec, 0).n_heads, 8);
  EXPECT_EQ(gqa(spec, 0).n_kv_heads, 4);
  EXPECT_EQ(gqa(spec, 0).window, 1024);
  const auto& global = spec.ropes[static_cast<size_t>(gqa(spec, 5).rope)];
  const auto& local = spec.ropes[static_cast<size_t>(gqa(spec, 4).rope)];
  EXPECT_EQ(global.inv_freq[0], 1.0f / 8);  // scaled on global layers only
  EXPECT_EQ(local.inv_freq[0], 1.0f);
  EXPECT_EQ(spec.embed_scale, 50.5f);  // the dtype of the whole checkpoint
}

TEST(Gemma3Config, RefusesWhatItWouldComputeWrongly) {
  const auto with = [](const char* key, const Json& value) {
    Json config = gemma3_1b();
    config[key] = value;
    return config;
  };
  expect_refused(with("attn_logit_softcapping", 50.0), ErrorCode::kUnsupported,
                 "attn_logit_softcapping");
  expect_refused(with("use_bidirectional_attention", true), ErrorCode::kUnsupported,
                 "use_bidirectional_attention");
  expect_refused(with("hidden_activation", "silu"), ErrorCode::kUnsupported, "hidden_activation");
  expect_refused(with("layer_types", {"full_attention"}), ErrorCode::kCorrupt, "1 layer_types");
  Json types = Json::array();
  for (int i = 0; i < 26; ++i) types.push_back("chunked_attention");
  expect_refused(with("layer_types", types), ErrorCode::kUnsupported, "chunked_attention");
  Json config = with("rope_parameters", {{"rope_type", "default"}, {"rope_theta", 1e6}});
  config.erase("rope_scaling");
  expect_refused(config, ErrorCode::kUnsupported, "rope_theta");
}

TEST(Registry, NamesWhatItSupports) {
  expect_refused(Json::object(), ErrorCode::kNotFound, "model_type");
  Json config = smollm2();
  config["model_type"] = "mamba";
  expect_refused(config, ErrorCode::kUnsupported, "mamba");
  expect_refused(config, ErrorCode::kUnsupported, "llama, gemma3_text, gemma3");
}

}  // namespace
}  // namespace tq::test
