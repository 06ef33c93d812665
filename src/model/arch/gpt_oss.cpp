// gpt-oss 20b and 120b: attention with sinks in alternating windows, experts with biases whose
// activation is a clamped gate, yarn. After transformers' modeling_gpt_oss.py.
#include "base/error.h"
#include "model/arch/gemma_common.h"
#include "model/arch/gqa_config.h"
#include "model/arch/registry.h"
#include "model/arch/rope.h"
#include "model/config_reader.h"

namespace tq {
namespace {

MoeSpec read_gpt_oss_experts(ConfigReader& config) {
  MoeSpec moe;
  moe.n_experts = config.has("num_local_experts") ? config.need_size("num_local_experts")
                                                  : config.need_size("num_experts");
  moe.top_k = config.size_or("num_experts_per_tok", 4);
  config.expect("experts_per_token", static_cast<double>(moe.top_k));
  moe.width = config.need_size("intermediate_size");
  // The softmax is of the chosen experts' logits: what a softmax of all, normalised, comes to.
  moe.score = RouteScore::kSoftmax;
  moe.normalize = true;
  moe.bias = true;
  moe.clamp_alpha = static_cast<float>(config.positive_or("swiglu_alpha", 1.702));
  moe.clamp_limit = static_cast<float>(config.positive_or("swiglu_limit", 7.0));
  config.expect("hidden_act", "silu");
  return moe;
}

RopeSpec read_gpt_oss_rope(ConfigReader& config, int64_t head_dim) {
  if (!config.has(rope_key(config))) {
    fail(ErrorCode::kNotFound, "{}: rope_parameters (or rope_scaling) are missing", config.where());
  }
  return read_rope(config, head_dim, 150000);
}

}  // namespace

ModelSpec read_gpt_oss_config(const Json& json) {
  ConfigReader config(json, "config.json");
  ModelSpec spec;
  spec.arch = config.string_or("model_type", "");
  spec.vocab = config.need_size("vocab_size");
  spec.hidden = config.need_size("hidden_size");
  spec.max_position = config.size_or("max_position_embeddings", 131072);
  spec.norm_eps = static_cast<float>(config.positive_or("rms_norm_eps", 1e-5));
  spec.tied_head = config.bool_or("tie_word_embeddings", false);

  GqaSpec attention = read_gqa(config, spec.hidden);
  // The biases are always there in published models; without them the class has none.
  attention.bias = attention.o_bias = config.bool_or("attention_bias", true);
  attention.sinks = true;
  spec.ropes = {read_gpt_oss_rope(config, attention.head_dim)};
  const int64_t window = config.size_or("sliding_window", 128);
  config.ignore({"initial_context_length"});  // of the original release; yarn has its own field

  const int64_t n_layers = config.need_size("num_hidden_layers", kMaxLayers);
  const MoeSpec moe = read_gpt_oss_experts(config);
  for (const bool slides : read_layer_types(config, n_layers, 2)) {
    attention.window = slides ? window : 0;
    spec.layers.push_back({attention, moe});
  }
  config.finish();
  return spec;
}

TensorNames gpt_oss_tensor_names() {
  TensorNames names;
  names.router = "mlp.router";
  names.unused = {"rotary_emb.inv_freq"};
  return names;
}

}  // namespace tq
