#include "io/synth/synth_models.h"

#include <fmt/ranges.h>

#include <array>
#include <utility>

#include "base/error.h"
#include "io/synth/synth_tokenizer.h"

namespace tq {
namespace {

// Models with one config but for their sizes.
struct Family {
  const char* config;  // what they share; the text_config of multimodal ones
  std::vector<SynthTensor> (*tensors)(const Json& config);
  const char* multimodal = nullptr;  // the config around text_config
};

constexpr Family kLlama{R"({
  "architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "bfloat16",
  "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 100000, "rope_scaling": null,
  "rope_interleaved": false, "attention_bias": false, "mlp_bias": false, "max_position_embeddings": 8192,
  "tie_word_embeddings": true})",
                        llama_tensors};

constexpr Family kQwen3{R"({
  "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "dtype": "bfloat16",
  "vocab_size": 151936, "head_dim": 128, "hidden_act": "silu", "rms_norm_eps": 1e-6,
  "rope_theta": 1000000, "rope_scaling": null, "attention_bias": false, "use_sliding_window": false,
  "sliding_window": null, "max_position_embeddings": 40960, "num_key_value_heads": 8})",
                        qwen3_dense_tensors};

constexpr Family kQwen3Moe{R"({
  "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "dtype": "bfloat16",
  "vocab_size": 151936, "head_dim": 128, "hidden_act": "silu", "rms_norm_eps": 1e-6,
  "rope_theta": 1000000, "rope_scaling": null, "attention_bias": false, "use_sliding_window": false,
  "sliding_window": null, "max_position_embeddings": 40960, "num_key_value_heads": 4,
  "num_experts": 128, "num_experts_per_tok": 8, "norm_topk_prob": true, "decoder_sparse_step": 1,
  "mlp_only_layers": [], "tie_word_embeddings": false})",
                           qwen3_moe_tensors};

constexpr Family kGemma3{R"({
  "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "dtype": "bfloat16",
  "vocab_size": 262144, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256,
  "query_pre_attn_scalar": 256, "hidden_activation": "gelu_pytorch_tanh", "rms_norm_eps": 1e-6,
  "rope_theta": 1000000, "rope_local_base_freq": 10000, "rope_scaling": null,
  "sliding_window": 512, "sliding_window_pattern": 6, "attention_bias": false,
  "attn_logit_softcapping": null, "final_logit_softcapping": null,
  "max_position_embeddings": 32768, "tie_word_embeddings": true})",
                         gemma3_tensors};

constexpr Family kGemma4{R"({
  "model_type": "gemma4_text", "dtype": "bfloat16", "vocab_size": 262144, "head_dim": 256,
  "global_head_dim": 512, "hidden_activation": "gelu_pytorch_tanh", "rms_norm_eps": 1e-6,
  "attention_bias": false, "attention_k_eq_v": true, "num_global_key_value_heads": null,
  "sliding_window": 1024, "max_position_embeddings": 262144, "final_logit_softcapping": 30.0,
  "rope_parameters": {
    "full_attention": {
      "rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1000000.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}},
  "enable_moe_block": false, "num_experts": null, "top_k_experts": null,
  "moe_intermediate_size": null, "hidden_size_per_layer_input": 0,
  "vocab_size_per_layer_input": 262144, "num_kv_shared_layers": 0, "use_double_wide_mlp": false,
  "use_bidirectional_attention": "vision", "tie_word_embeddings": true})",
                         gemma4_tensors,
                         R"({
  "architectures": ["Gemma4ForConditionalGeneration"], "model_type": "gemma4", "dtype": "bfloat16",
  "tie_word_embeddings": true, "vision_config": null, "audio_config": null})"};

constexpr const char* kQwen35Config = R"({
  "model_type": "qwen3_5_text", "dtype": "bfloat16", "vocab_size": 248320, "head_dim": 256,
  "hidden_act": "silu", "rms_norm_eps": 1e-6, "attention_bias": false, "attn_output_gate": true,
  "full_attention_interval": 4, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128,
  "linear_num_key_heads": 16, "linear_value_head_dim": 128, "mamba_ssm_dtype": "float32",
  "max_position_embeddings": 262144, "tie_word_embeddings": false,
  "rope_parameters": {
    "rope_type": "default", "rope_theta": 10000000, "partial_rotary_factor": 0.25,
    "mrope_interleaved": true, "mrope_section": [11, 11, 10]}})";
constexpr Family kQwen35{kQwen35Config, qwen3_5_dense_tensors, R"({
  "architectures": ["Qwen3_5ForConditionalGeneration"], "model_type": "qwen3_5",
  "dtype": "bfloat16", "tie_word_embeddings": false, "vision_config": null})"};
constexpr Family kQwen35Moe{kQwen35Config, qwen3_5_moe_tensors, R"({
  "architectures": ["Qwen3_5MoeForConditionalGeneration"], "model_type": "qwen3_5_moe",
  "dtype": "bfloat16", "tie_word_embeddings": false, "vision_config": null})"};

constexpr Family kGlm4MoeLite{R"({
  "architectures": ["Glm4MoeLiteForCausalLM"], "model_type": "glm4_moe_lite", "dtype": "bfloat16",
  "vocab_size": 154880, "num_attention_heads": 20, "num_key_value_heads": 20, "q_lora_rank": 768,
  "kv_lora_rank": 512, "qk_nope_head_dim": 192, "qk_rope_head_dim": 64, "v_head_dim": 256,
  "n_routed_experts": 64, "n_shared_experts": 1, "num_experts_per_tok": 4, "n_group": 1,
  "topk_group": 1, "norm_topk_prob": true, "routed_scaling_factor": 1.8, "topk_method": "noaux_tc",
  "first_k_dense_replace": 1, "num_nextn_predict_layers": 1, "hidden_act": "silu",
  "rms_norm_eps": 1e-5, "max_position_embeddings": 202752, "rope_theta": 1000000,
  "rope_scaling": null, "partial_rotary_factor": 1.0, "attention_bias": false,
  "tie_word_embeddings": false})",
                              glm4_moe_lite_tensors};

constexpr Family kMistral{R"({
  "architectures": ["MistralForCausalLM"], "model_type": "mistral", "dtype": "bfloat16",
  "head_dim": 128, "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 1000000,
  "rope_scaling": null, "sliding_window": null, "max_position_embeddings": 131072,
  "tie_word_embeddings": false})",
                          llama_tensors};

constexpr Family kMinistral3{R"({
  "architectures": ["Ministral3ForCausalLM"], "model_type": "ministral3", "dtype": "bfloat16",
  "vocab_size": 131072, "head_dim": 128, "hidden_act": "silu", "rms_norm_eps": 1e-5,
  "num_attention_heads": 32, "num_key_value_heads": 8, "sliding_window": null,
  "max_position_embeddings": 262144, "rope_parameters": {
    "rope_type": "yarn", "rope_theta": 1000000, "factor": 16, "beta_fast": 32, "beta_slow": 1,
    "mscale": 1, "mscale_all_dim": 1, "original_max_position_embeddings": 16384,
    "llama_4_scaling_beta": 0.1}})",
                             llama_tensors};

constexpr Family kSmolLm3{R"({
  "architectures": ["SmolLM3ForCausalLM"], "model_type": "smollm3", "dtype": "bfloat16",
  "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 5000000, "rope_scaling": null,
  "attention_bias": false, "mlp_bias": false, "no_rope_layer_interval": 4,
  "use_sliding_window": false, "max_position_embeddings": 65536, "tie_word_embeddings": true})",
                          llama_tensors};

constexpr Family kPhi3{R"({
  "architectures": ["Phi3ForCausalLM"], "model_type": "phi3", "dtype": "bfloat16",
  "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 250000, "rope_scaling": null,
  "sliding_window": null, "max_position_embeddings": 16384,
  "original_max_position_embeddings": 16384, "tie_word_embeddings": false})",
                       phi3_tensors};

constexpr Family kGptOss{R"({
  "architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "dtype": "bfloat16",
  "vocab_size": 201088, "hidden_size": 2880, "intermediate_size": 2880, "head_dim": 64,
  "num_attention_heads": 64, "num_key_value_heads": 8, "attention_bias": true,
  "hidden_act": "silu", "swiglu_limit": 7.0, "num_experts_per_tok": 4, "experts_per_token": 4,
  "rms_norm_eps": 1e-5, "rope_theta": 150000, "sliding_window": 128,
  "initial_context_length": 4096, "max_position_embeddings": 131072, "rope_scaling": {
    "rope_type": "yarn", "factor": 32, "beta_fast": 32, "beta_slow": 1, "truncate": false,
    "original_max_position_embeddings": 4096}, "tie_word_embeddings": false})",
                         gpt_oss_tensors};

// THE LIST of synthetic models.
struct Row {
  std::string_view name;
  const Family& family;
  const char* sizes;     // what the config has beyond the family's
  int global_every = 0;  // layer_types: every n-th layer attends to all tokens; 0: no such field
};

constexpr std::array kRows{
    Row{"gemma-4-26B-A4B", kGemma4, R"({
      "hidden_size": 2816, "num_hidden_layers": 30, "num_attention_heads": 16,
      "num_key_value_heads": 8, "num_global_key_value_heads": 2, "intermediate_size": 2112,
      "enable_moe_block": true, "num_experts": 128, "top_k_experts": 8,
      "moe_intermediate_size": 704})",
        6},
    Row{"gemma-4-31B", kGemma4, R"({
      "hidden_size": 5376, "num_hidden_layers": 60, "num_attention_heads": 32,
      "num_key_value_heads": 16, "num_global_key_value_heads": 4, "intermediate_size": 21504})",
        6},
    Row{"gemma-4-12B", kGemma4, R"({
      "hidden_size": 3840, "num_hidden_layers": 48, "num_attention_heads": 16,
      "num_key_value_heads": 8, "num_global_key_value_heads": 1, "intermediate_size": 15360})",
        6},
    Row{"gemma-4-E4B", kGemma4, R"({
      "hidden_size": 2560, "num_hidden_layers": 42, "num_attention_heads": 8,
      "num_key_value_heads": 2, "intermediate_size": 10240, "attention_k_eq_v": false,
      "hidden_size_per_layer_input": 256, "num_kv_shared_layers": 18, "sliding_window": 512,
      "max_position_embeddings": 131072})",
        6},
    Row{"gemma-4-E2B", kGemma4, R"({
      "hidden_size": 1536, "num_hidden_layers": 35, "num_attention_heads": 8,
      "num_key_value_heads": 1, "intermediate_size": 6144, "attention_k_eq_v": false,
      "hidden_size_per_layer_input": 256, "num_kv_shared_layers": 20,
      "use_double_wide_mlp": true, "sliding_window": 512, "max_position_embeddings": 131072})",
        5},
    Row{"qwen3-30B-A3B", kQwen3Moe, R"({
      "hidden_size": 2048, "num_hidden_layers": 48, "num_attention_heads": 32,
      "intermediate_size": 6144, "moe_intermediate_size": 768})"},
    Row{"qwen3-235B-A22B", kQwen3Moe, R"({
      "hidden_size": 4096, "num_hidden_layers": 94, "num_attention_heads": 64,
      "intermediate_size": 12288, "moe_intermediate_size": 1536})"},
    Row{"qwen3-32B", kQwen3, R"({
      "hidden_size": 5120, "num_hidden_layers": 64, "num_attention_heads": 64,
      "intermediate_size": 25600, "tie_word_embeddings": false})"},
    Row{"qwen3-14B", kQwen3, R"({
      "hidden_size": 5120, "num_hidden_layers": 40, "num_attention_heads": 40,
      "intermediate_size": 17408, "tie_word_embeddings": false})"},
    Row{"qwen3-8B", kQwen3, R"({
      "hidden_size": 4096, "num_hidden_layers": 36, "num_attention_heads": 32,
      "intermediate_size": 12288, "tie_word_embeddings": false})"},
    Row{"qwen3-4B", kQwen3, R"({
      "hidden_size": 2560, "num_hidden_layers": 36, "num_attention_heads": 32,
      "intermediate_size": 9728, "tie_word_embeddings": true})"},
    Row{"qwen3-1.7B", kQwen3, R"({
      "hidden_size": 2048, "num_hidden_layers": 28, "num_attention_heads": 16,
      "intermediate_size": 6144, "tie_word_embeddings": true})"},
    Row{"qwen3-0.6B", kQwen3, R"({
      "hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16,
      "intermediate_size": 3072, "tie_word_embeddings": true})"},
    Row{"qwen3.6-35B-A3B", kQwen35Moe, R"({
      "model_type": "qwen3_5_moe_text", "hidden_size": 2048, "num_hidden_layers": 40,
      "num_attention_heads": 16, "num_key_value_heads": 2, "linear_num_value_heads": 32,
      "num_experts": 256, "num_experts_per_tok": 8, "moe_intermediate_size": 512,
      "shared_expert_intermediate_size": 512})"},
    Row{"qwen3.5-122B-A10B", kQwen35Moe, R"({
      "model_type": "qwen3_5_moe_text", "hidden_size": 3072, "num_hidden_layers": 48,
      "num_attention_heads": 32, "num_key_value_heads": 2, "linear_num_value_heads": 64,
      "num_experts": 256, "num_experts_per_tok": 8, "moe_intermediate_size": 1024,
      "shared_expert_intermediate_size": 1024})"},
    Row{"qwen3.6-27B", kQwen35, R"({
      "hidden_size": 5120, "num_hidden_layers": 64, "num_attention_heads": 24,
      "num_key_value_heads": 4, "linear_num_value_heads": 48, "intermediate_size": 17408})"},
    Row{"qwen3.5-9B", kQwen35, R"({
      "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 16,
      "num_key_value_heads": 4, "linear_num_value_heads": 32, "intermediate_size": 12288})"},
    Row{"qwen3.5-4B", kQwen35, R"({
      "hidden_size": 2560, "num_hidden_layers": 32, "num_attention_heads": 16,
      "num_key_value_heads": 4, "linear_num_value_heads": 32, "intermediate_size": 9216,
      "tie_word_embeddings": true})"},
    Row{"qwen3.5-0.8B", kQwen35, R"({
      "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 8,
      "num_key_value_heads": 2, "linear_num_value_heads": 16, "intermediate_size": 3584,
      "tie_word_embeddings": true})"},
    Row{"glm-4.7-flash", kGlm4MoeLite, R"({
      "hidden_size": 2048, "num_hidden_layers": 47, "intermediate_size": 10240,
      "moe_intermediate_size": 1536})"},
    Row{"gemma-3-1b", kGemma3, R"({
      "hidden_size": 1152, "num_hidden_layers": 26, "intermediate_size": 6912})"},
    Row{"gemma-3-270m", kGemma3, R"({
      "hidden_size": 640, "num_hidden_layers": 18, "intermediate_size": 2048})"},
    Row{"mistral-nemo-12b", kMistral, R"({
      "vocab_size": 131072, "hidden_size": 5120, "num_hidden_layers": 40,
      "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336})"},
    Row{"ministral-3-8b", kMinistral3, R"({
      "hidden_size": 4096, "num_hidden_layers": 34, "intermediate_size": 14336,
      "tie_word_embeddings": false})"},
    Row{"ministral-3-3b", kMinistral3, R"({
      "hidden_size": 3072, "num_hidden_layers": 26, "intermediate_size": 9216,
      "tie_word_embeddings": true})"},
    Row{"gpt-oss-20b", kGptOss, R"({"num_hidden_layers": 24, "num_local_experts": 32})", 2},
    Row{"gpt-oss-120b", kGptOss, R"({"num_hidden_layers": 36, "num_local_experts": 128})", 2},
    Row{"smollm3-3b", kSmolLm3, R"({
      "vocab_size": 128256, "hidden_size": 2048, "num_hidden_layers": 36,
      "num_attention_heads": 16, "num_key_value_heads": 4, "intermediate_size": 11008})"},
    Row{"phi-4", kPhi3, R"({
      "vocab_size": 100352, "hidden_size": 5120, "num_hidden_layers": 40,
      "num_attention_heads": 40, "num_key_value_heads": 10, "intermediate_size": 17920})"},
    Row{"smollm2-135m", kLlama, R"({
      "vocab_size": 49152, "hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9,
      "num_key_value_heads": 3, "intermediate_size": 1536})"},
};

const Row& find_row(std::string_view name) {
  for (const Row& row : kRows) {
    if (row.name == name) return row;
  }
  fail(ErrorCode::kNotFound, "synth:{}: no such synthetic model; there are {}", name,
       fmt::join(synth_model_names(), ", "));
}

// The family's config with the row's sizes in it, and the changes.
Json text_config(const Row& row, const Json& changes) {
  Json config = Json::parse(row.family.config);
  config.update(Json::parse(row.sizes));
  config.update(changes);
  if (row.global_every > 0) {
    Json& types = config["layer_types"] = Json::array();
    for (int64_t i = 1; i <= config["num_hidden_layers"].get<int64_t>(); ++i) {
      types.push_back(i % row.global_every == 0 ? "full_attention" : "sliding_attention");
    }
  }
  return config;
}

}  // namespace

std::vector<std::string> synth_model_names() {
  std::vector<std::string> names;
  for (const Row& row : kRows) names.emplace_back(row.name);
  return names;
}

SynthModel make_synth_model(std::string_view name, const Json& changes) {
  const Row& row = find_row(name);
  SynthModel model;
  model.name = name;
  model.config = text_config(row, changes);
  model.tensors = row.family.tensors(model.config);
  if (row.family.multimodal != nullptr) {
    Json outer = Json::parse(row.family.multimodal);
    outer["tie_word_embeddings"] = model.config["tie_word_embeddings"];  // it goes before
    outer["text_config"] = std::move(model.config);
    model.config = std::move(outer);
  }
  model.config["eos_token_id"] = kSynthEosId;
  return model;
}

}  // namespace tq
