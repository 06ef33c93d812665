// GLM-4.7-Flash: latent attention and DeepSeek V3's routing (sigmoid scores, a bias that only
// chooses, a shared expert) after dense first layers. After transformers'
// modeling_glm4_moe_lite.py. The layers for multi-token prediction are skipped.
#include <cmath>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/arch/registry.h"
#include "model/arch/rope.h"
#include "model/config_reader.h"

namespace tq {
namespace {

// transformers leaves the norms of the latents at their class's default, not at rms_norm_eps.
constexpr float kLatentNormEps = 1e-6f;

// Loading keeps something for each head before it has seen a tensor of that size.
constexpr int64_t kMaxHeads = 4096;

MlaSpec read_attention(ConfigReader& config) {
  MlaSpec attention;
  attention.n_heads = config.need_size("num_attention_heads", kMaxHeads);
  config.expect("num_key_value_heads", static_cast<double>(attention.n_heads));
  if (!config.has("q_lora_rank")) {
    fail(ErrorCode::kUnsupported, "{}: queries without a latent (no q_lora_rank) are not supported",
         config.where());
  }
  attention.q_rank = config.need_size("q_lora_rank");
  attention.kv_rank = config.need_size("kv_lora_rank");
  attention.nope_dim = config.need_size("qk_nope_head_dim", kMaxHeadDim);
  attention.rope_dim = config.need_size("qk_rope_head_dim", kMaxHeadDim);
  attention.v_dim = config.need_size("v_head_dim", kMaxHeadDim);
  const auto query_dim = static_cast<double>(attention.nope_dim + attention.rope_dim);
  config.expect("qk_head_dim", query_dim);
  config.expect("head_dim", static_cast<double>(attention.rope_dim));
  attention.scale = static_cast<float>(1 / std::sqrt(query_dim));
  attention.latent_norm_eps = kLatentNormEps;
  return attention;
}

RopeSpec read_interleaved_rope(ConfigReader& config, int64_t dims) {
  if (const std::string_view key = rope_key(config); config.has(key)) {
    ConfigReader params = config.object(key);
    const std::string type = params.string_or("rope_type", params.string_or("type", "default"));
    if (type == "yarn") {  // the scores would be scaled by mscale_all_dim as well
      fail(ErrorCode::kUnsupported,
           "{}: {}: rope type \"yarn\" is not supported with latent attention", config.where(),
           key);
    }
  }
  RopeSpec rope = read_rope(config, dims, 10000);
  rope.interleaved = config.bool_or("rope_interleave", true);
  config.expect("partial_rotary_factor", 1.0);
  return rope;
}

MoeSpec read_moe(ConfigReader& config) {
  MoeSpec moe;
  moe.n_experts = config.need_size("n_routed_experts");
  moe.top_k = config.need_size("num_experts_per_tok");
  moe.width = config.need_size("moe_intermediate_size");
  // Published configs do not name the scores: all of these are sigmoids.
  moe.score = RouteScore::kSigmoid;
  config.expect("scoring_func", "sigmoid");
  config.expect("topk_method", "noaux_tc");
  config.expect("moe_layer_freq", 1.0);
  moe.n_groups = config.size_or("n_group", 1);
  moe.top_groups = config.size_or("topk_group", 1);
  moe.selection_bias = true;
  moe.normalize = config.bool_or("norm_topk_prob", true);
  moe.weight_scale = static_cast<float>(config.positive_or("routed_scaling_factor", 1.8));
  moe.shared_width = config.size_or("n_shared_experts", 1, 64) * moe.width;
  return moe;
}

// For each layer, whether it has experts: mlp_layer_types, or all but the first ones have.
std::vector<bool> read_sparse(ConfigReader& config, int64_t n_layers) {
  const int64_t n_dense = config.count_or("first_k_dense_replace", 1);
  const std::vector<std::string> types = config.strings("mlp_layer_types");
  if (!types.empty() && static_cast<int64_t>(types.size()) != n_layers) {
    fail(ErrorCode::kCorrupt, "{}: {} mlp_layer_types for {} layers", config.where(), types.size(),
         n_layers);
  }
  std::vector<bool> sparse;
  for (int64_t i = 0; i < n_layers; ++i) {
    if (types.empty()) {
      sparse.push_back(i >= n_dense);
      continue;
    }
    const std::string& type = types[static_cast<size_t>(i)];
    if (type != "dense" && type != "sparse") {
      fail(ErrorCode::kUnsupported, "{}: MLP layer type \"{}\" is not supported", config.where(),
           type);
    }
    sparse.push_back(type == "sparse");
  }
  return sparse;
}

}  // namespace

ModelSpec read_glm4_moe_lite_config(const Json& json) {
  ConfigReader config(json, "config.json");
  ModelSpec spec;
  spec.arch = config.string_or("model_type", "");
  spec.vocab = config.need_size("vocab_size");
  spec.hidden = config.need_size("hidden_size");
  spec.max_position = config.size_or("max_position_embeddings", 202752);
  spec.norm_eps = static_cast<float>(config.positive_or("rms_norm_eps", 1e-5));
  spec.tied_head = config.bool_or("tie_word_embeddings", false);
  config.ignore({"num_nextn_predict_layers"});  // such layers are known by their tensors

  const MlaSpec attention = read_attention(config);
  spec.ropes = {read_interleaved_rope(config, attention.rope_dim)};
  MlpSpec mlp;
  mlp.width = config.need_size("intermediate_size");
  config.expect("hidden_act", "silu");
  const MoeSpec moe = read_moe(config);

  const int64_t n_layers = config.need_size("num_hidden_layers", kMaxLayers);
  for (const bool sparse : read_sparse(config, n_layers)) {
    LayerSpec layer{.attention = attention, .ffn = mlp};
    if (sparse) layer.ffn = moe;
    spec.layers.push_back(layer);
  }
  config.finish();
  return spec;
}

TensorNames glm4_moe_lite_tensor_names() {
  TensorNames names;
  names.unused = {"rotary_emb.inv_freq"};
  return names;
}

}  // namespace tq
