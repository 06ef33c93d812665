// The Llama family (Llama 2 and 3.x, SmolLM2, TinyLlama, ...): pre-norm, grouped-query attention,
// gated SiLU MLP. After transformers' modeling_llama.py.
#include <cmath>

#include "base/error.h"
#include "model/arch/registry.h"
#include "model/arch/rope.h"
#include "model/config_reader.h"

namespace tq {

ModelSpec read_llama_config(const Json& json) {
  ConfigReader config(json, "config.json");
  ModelSpec spec;
  spec.arch = config.string_or("model_type", "");
  spec.vocab = config.need_size("vocab_size");
  spec.hidden = config.need_size("hidden_size");
  spec.max_position = config.size_or("max_position_embeddings", 2048);
  spec.norm_eps = static_cast<float>(config.positive_or("rms_norm_eps", 1e-6));
  spec.tied_head = config.bool_or("tie_word_embeddings", false);

  GqaSpec attention;
  attention.n_heads = config.need_size("num_attention_heads");
  attention.n_kv_heads = config.size_or("num_key_value_heads", attention.n_heads);
  if (!config.has("head_dim") && spec.hidden % attention.n_heads != 0) {
    fail(ErrorCode::kCorrupt, "config.json: hidden_size ({}) does not divide by the heads ({})",
         spec.hidden, attention.n_heads);
  }
  attention.head_dim = config.size_or("head_dim", spec.hidden / attention.n_heads, kMaxHeadDim);
  attention.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(attention.head_dim)));
  attention.bias = config.bool_or("attention_bias", false);
  spec.ropes = {read_rope(config, attention.head_dim, 10000)};

  MlpSpec mlp;
  mlp.width = config.need_size("intermediate_size");
  mlp.bias = config.bool_or("mlp_bias", false);
  config.expect("hidden_act", "silu");

  const int64_t n_layers = config.need_size("num_hidden_layers", kMaxLayers);
  spec.layers.assign(static_cast<size_t>(n_layers), {attention, mlp});
  config.ignore({"is_llama_config"});  // in SmolLM2's
  config.finish();
  return spec;
}

TensorNames llama_tensor_names() {
  TensorNames names;
  names.unused = {"rotary_emb.inv_freq"};
  return names;
}

}  // namespace tq
