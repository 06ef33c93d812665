// Qwen3.5 and 3.6, dense and mixtures of experts: gated DeltaNet layers with full attention, whose
// outputs are gated, in every fourth; norms with weights stored as w of (1 + w). After
// transformers' modeling_qwen3_5.py and modeling_qwen3_5_moe.py. Of multimodal checkpoints
// (model_type "qwen3_5", "qwen3_5_moe") the text decoder is run; the layer for multi-token
// prediction is left out.
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "model/arch/gemma_common.h"
#include "model/arch/registry.h"
#include "model/arch/rope.h"
#include "model/config_reader.h"

namespace tq {
namespace {

GqaSpec read_gated_attention(ConfigReader& config, bool moe) {
  GqaSpec attention;
  attention.n_heads = config.size_or("num_attention_heads", 16);
  attention.n_kv_heads = config.size_or("num_key_value_heads", moe ? 2 : 4);
  attention.head_dim = config.size_or("head_dim", 256, kMaxHeadDim);
  attention.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(attention.head_dim)));
  attention.qk_norm = true;
  attention.bias = attention.o_bias = config.bool_or("attention_bias", false);
  attention.output_gate = config.bool_or("attn_output_gate", true);
  if (!attention.output_gate) {
    fail(ErrorCode::kUnsupported, "{}: attn_output_gate false is not supported", config.where());
  }
  return attention;
}

DeltaNetSpec read_delta_net(ConfigReader& config) {
  DeltaNetSpec net;
  net.n_k_heads = config.size_or("linear_num_key_heads", 16);
  net.n_heads = config.size_or("linear_num_value_heads", 32);
  net.k_dim = config.size_or("linear_key_head_dim", 128, kMaxHeadDim);
  net.v_dim = config.size_or("linear_value_head_dim", 128, kMaxHeadDim);
  net.conv_width = config.size_or("linear_conv_kernel_dim", 4);
  // What the gate of the norm is multiplied by, and what states are kept in.
  config.expect("output_gate_type", "swish");
  config.expect("mamba_ssm_dtype", "float32");
  return net;
}

MoeSpec read_qwen_moe(ConfigReader& config) {
  MoeSpec moe;
  moe.n_experts = config.has("num_local_experts") ? config.need_size("num_local_experts")
                                                  : config.size_or("num_experts", 256);
  moe.top_k = config.size_or("num_experts_per_tok", 8);
  moe.width = config.size_or("moe_intermediate_size", 512);
  moe.shared_width = config.size_or("shared_expert_intermediate_size", 512);
  moe.shared_gate = true;
  if (!config.bool_or("norm_topk_prob", true)) {  // transformers normalizes whatever it says
    fail(ErrorCode::kUnsupported, "{}: norm_topk_prob false is not supported", config.where());
  }
  config.ignore({"output_router_logits", "router_aux_loss_coef", "intermediate_size"});
  for (const int64_t layer : config.counts("mlp_only_layers")) {
    fail(ErrorCode::kUnsupported, "{}: mlp_only_layers: layer {} without experts is not supported",
         config.where(), layer);
  }
  return moe;
}

// The rope of text: all sections of positions (time, height, width) are the same there.
RopeSpec read_partial_rope(ConfigReader& config, int64_t head_dim) {
  double theta = config.positive_or("rope_theta", 10000);
  double part = config.positive_or("partial_rotary_factor", 0.25);
  const std::string_view key = rope_key(config);
  if (config.has(key)) {
    ConfigReader params = config.object(key);
    theta = params.positive_or("rope_theta", theta);
    part = params.positive_or("partial_rotary_factor", part);
    params.expect("rope_type", "default");
    params.expect("type", "default");
    params.ignore({"mrope_section", "mrope_interleaved"});
    params.finish();
  }
  const auto dims = static_cast<int64_t>(part * static_cast<double>(head_dim));
  if (part > 1 || dims < 2 || dims % 2 != 0) {
    fail(ErrorCode::kCorrupt, "{}: partial_rotary_factor {} of head_dim {} is no even number",
         config.where(), part, head_dim);
  }
  return make_rope(dims, theta, config, "");
}

ModelSpec make_qwen3_5_spec(ConfigReader& config, const std::string& /*dtype*/) {
  ModelSpec spec;
  const bool moe = config.string_or("model_type", "").starts_with("qwen3_5_moe");
  spec.vocab = config.size_or("vocab_size", 248320);
  spec.hidden = config.size_or("hidden_size", moe ? 2048 : 4096);
  spec.max_position = config.size_or("max_position_embeddings", 32768);
  spec.norm_eps = static_cast<float>(config.positive_or("rms_norm_eps", 1e-6));
  spec.norm_weight_offset = 1;
  spec.tied_head = config.bool_or("tie_word_embeddings", false);
  config.expect("hidden_act", "silu");

  const GqaSpec attention = read_gated_attention(config, moe);
  spec.ropes = {read_partial_rope(config, attention.head_dim)};
  const DeltaNetSpec net = read_delta_net(config);
  const int64_t n_layers = config.size_or("num_hidden_layers", moe ? 40 : 32, kMaxLayers);
  LayerSpec layer;
  if (moe) {
    layer.ffn = read_qwen_moe(config);
  } else {
    layer.ffn = MlpSpec{.width = config.size_or("intermediate_size", 12288)};
  }
  const int64_t interval = config.size_or("full_attention_interval", 4);
  for (const bool recurs : read_layer_types(config, n_layers, interval, "linear_attention")) {
    if (recurs) {
      layer.attention = net;
    } else {
      layer.attention = attention;
    }
    spec.layers.push_back(layer);
  }
  // The layer for multi-token prediction, which is not run.
  config.ignore({"mtp_num_hidden_layers", "mtp_use_dedicated_embeddings"});
  config.finish();
  return spec;
}

}  // namespace

ModelSpec read_qwen3_5_config(const Json& json) {
  return read_text_config(json, make_qwen3_5_spec,
                          {"image_token_id", "video_token_id", "vision_start_token_id",
                           "vision_end_token_id", "vision_config"});
}

TensorNames qwen3_5_tensor_names() {
  TensorNames names;
  names.places = {{"model.language_model.", "lm_head"},
                  {"model.", "lm_head"},
                  {"language_model.model.", "language_model.lm_head"}};
  names.shared_gate = "mlp.shared_expert.gate_proj";
  names.shared_up = "mlp.shared_expert.up_proj";
  names.shared_down = "mlp.shared_expert.down_proj";
  names.unused = {"rotary_emb.inv_freq"};
  return names;
}

}  // namespace tq
