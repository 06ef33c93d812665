// The Llama family (Llama 2 and 3.x, SmolLM2, TinyLlama, ...): pre-norm, grouped-query attention,
// gated SiLU MLP. After transformers' modeling_llama.py.
#include "model/arch/gqa_config.h"
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

  GqaSpec attention = read_gqa(config, spec.hidden);
  attention.bias = attention.o_bias = config.bool_or("attention_bias", false);
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
