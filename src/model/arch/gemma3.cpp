// Gemma 3, text: norms around each block with weights stored as w of (1 + w), normed q and k,
// five sliding layers to each global one, each kind with its own rope. After transformers'
// modeling_gemma3.py. Of multimodal checkpoints (model_type "gemma3") the text decoder is run.
#include <cmath>
#include <string>
#include <vector>

#include "model/arch/gemma_common.h"
#include "model/arch/registry.h"
#include "model/arch/rope.h"
#include "model/config_reader.h"

namespace tq {
namespace {

enum Rope { kGlobal, kLocal };

// Two spellings: rope_parameters with an object for each kind of layer, or rope_theta and
// rope_scaling for the global ones and rope_local_base_freq for the sliding ones.
std::vector<RopeSpec> read_ropes(ConfigReader& config, int64_t head_dim) {
  const double global_theta = config.positive_or("rope_theta", 1e6);
  const double local_theta = config.positive_or("rope_local_base_freq", 1e4);
  if (rope_key(config) == "rope_scaling") {
    return {make_rope(head_dim, global_theta, config, "rope_scaling"),
            make_rope(head_dim, local_theta, config, "")};
  }
  ConfigReader kinds = config.object("rope_parameters");
  std::vector<RopeSpec> ropes = {make_rope(head_dim, global_theta, kinds, "full_attention"),
                                 make_rope(head_dim, local_theta, kinds, "sliding_attention")};
  kinds.finish();
  return ropes;
}

GqaSpec read_attention(ConfigReader& config) {
  GqaSpec attention;
  attention.n_heads = config.size_or("num_attention_heads", 8);
  attention.n_kv_heads = config.size_or("num_key_value_heads", 4);
  attention.head_dim = config.size_or("head_dim", 256, kMaxHeadDim);
  attention.scale =
      static_cast<float>(1 / std::sqrt(config.positive_or("query_pre_attn_scalar", 256)));
  attention.qk_norm = true;
  attention.bias = attention.o_bias = config.bool_or("attention_bias", false);
  return attention;
}

// Defaults are those of Gemma3TextConfig: the published 4B and larger configs rely on them.
ModelSpec make_text_spec(ConfigReader& config, const std::string& dtype) {
  ModelSpec spec;
  spec.vocab = config.size_or("vocab_size", 262208);
  spec.hidden = config.size_or("hidden_size", 2304);
  spec.max_position = config.size_or("max_position_embeddings", 131072);
  spec.norm_eps = static_cast<float>(config.positive_or("rms_norm_eps", 1e-6));
  spec.norm_weight_offset = 1;
  spec.embed_scale = root_in_dtype(spec.hidden, weight_dtype(config, dtype));
  spec.final_softcap = static_cast<float>(config.positive_or("final_logit_softcapping", 0));
  spec.tied_head = config.bool_or("tie_word_embeddings", true);

  const GqaSpec attention = read_attention(config);
  spec.ropes = read_ropes(config, attention.head_dim);
  const int64_t window = config.size_or("sliding_window", 4096);
  MlpSpec mlp;
  mlp.width = config.size_or("intermediate_size", 9216);
  mlp.activate = Activate::kGeluTanh;
  config.expect("hidden_activation", "gelu_pytorch_tanh");
  config.expect("hidden_act", "gelu_pytorch_tanh");

  const int64_t n_layers = config.size_or("num_hidden_layers", 26, kMaxLayers);
  const int64_t pattern =
      config.size_or("sliding_window_pattern", config.size_or("_sliding_window_pattern", 6));
  for (const bool sliding : read_layer_types(config, n_layers, pattern)) {
    GqaSpec gqa = attention;
    gqa.window = sliding ? window : 0;
    gqa.rope = sliding ? kLocal : kGlobal;
    spec.layers.push_back({gqa, mlp, /*post_attention_norm=*/true, /*post_ffn_norm=*/true});
  }
  config.finish();
  return spec;
}

}  // namespace

ModelSpec read_gemma3_config(const Json& json) {
  return read_text_config(json, make_text_spec,
                          {"boi_token_index", "eoi_token_index", "image_token_index",
                           "image_token_id", "mm_tokens_per_image", "vision_config"});
}

TensorNames gemma3_tensor_names() {
  TensorNames names;
  names.places = {{"model.", "lm_head"},
                  {"language_model.model.", "language_model.lm_head"},
                  {"model.language_model.", "lm_head"}};
  names.post_attention_norm = "post_attention_layernorm";
  names.ffn_norm = "pre_feedforward_layernorm";
  names.post_ffn_norm = "post_feedforward_layernorm";
  names.unused = {"vision_tower.", "multi_modal_projector.", "rotary_emb.inv_freq"};
  return names;
}

}  // namespace tq
