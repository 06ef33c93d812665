// GGUF files of Gemma 3's text models.
#include "io/gguf/arch/archs.h"
#include "io/gguf/arch/decoder.h"

namespace tq {
namespace {

constexpr GgufTensorRule kGemma3Tensors[] = {
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight", GgufTransform::kMinusOne},
    {"output.weight", "lm_head.weight"},
    {"blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight", GgufTransform::kMinusOne},
    {"blk.{}.attn_q.weight", "model.layers.{}.self_attn.q_proj.weight"},
    {"blk.{}.attn_k.weight", "model.layers.{}.self_attn.k_proj.weight"},
    {"blk.{}.attn_v.weight", "model.layers.{}.self_attn.v_proj.weight"},
    {"blk.{}.attn_output.weight", "model.layers.{}.self_attn.o_proj.weight"},
    {"blk.{}.attn_q_norm.weight", "model.layers.{}.self_attn.q_norm.weight",
     GgufTransform::kMinusOne},
    {"blk.{}.attn_k_norm.weight", "model.layers.{}.self_attn.k_norm.weight",
     GgufTransform::kMinusOne},
    {"blk.{}.post_attention_norm.weight", "model.layers.{}.post_attention_layernorm.weight",
     GgufTransform::kMinusOne},
    {"blk.{}.ffn_norm.weight", "model.layers.{}.pre_feedforward_layernorm.weight",
     GgufTransform::kMinusOne},
    {"blk.{}.post_ffw_norm.weight", "model.layers.{}.post_feedforward_layernorm.weight",
     GgufTransform::kMinusOne},
    {"blk.{}.ffn_gate.weight", "model.layers.{}.mlp.gate_proj.weight"},
    {"blk.{}.ffn_up.weight", "model.layers.{}.mlp.up_proj.weight"},
    {"blk.{}.ffn_down.weight", "model.layers.{}.mlp.down_proj.weight"},
};

Json gemma3_config(GgufMetadata& metadata) {
  Json config = gguf_decoder_config(metadata, {"gemma3_text", "Gemma3ForCausalLM"});
  const auto n_layers = config["num_hidden_layers"].get<int64_t>();
  config["hidden_activation"] = "gelu_pytorch_tanh";
  config["sliding_window"] = metadata.size("attention.sliding_window");
  config["layer_types"] = gguf_layer_types(metadata, n_layers, 6);
  config["rope_local_base_freq"] = metadata.positive_if("rope.freq_base_swa").value_or(10000.0);
  // Not in the metadata. The 27B model alone, the one of 62 layers, divides by something else than
  // its head size.
  const auto per_head =
      config["hidden_size"].get<int64_t>() / config["num_attention_heads"].get<int64_t>();
  config["query_pre_attn_scalar"] = n_layers == 62 ? per_head : config["head_dim"].get<int64_t>();
  config["attn_logit_softcapping"] =
      optional_number(metadata.positive_if("attn_logit_softcapping"));
  config["final_logit_softcapping"] =
      optional_number(metadata.positive_if("final_logit_softcapping"));
  return config;
}

}  // namespace

const GgufArch kGgufGemma3 = {"gemma3", kGemma3Tensors, gemma3_config};

}  // namespace tq
