// Gemma 4, text: Gemma 3's norms with plain weights, unscaled scores, normed values, larger heads
// and a rope of their own on global layers, a factor after each layer; then, by size, keys that are
// values, experts beside the MLP, per-layer inputs and layers that share keys and values. After
// transformers' modeling_gemma4.py. Of multimodal checkpoints the text decoder is run.
#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/arch/gemma_common.h"
#include "model/arch/registry.h"
#include "model/arch/rope.h"
#include "model/config_reader.h"

namespace tq {
namespace {

enum Rope { kGlobal, kLocal };

// The 12B model's class of configs has other defaults.
bool is_unified(const ModelSpec& spec) { return spec.arch.starts_with("gemma4_unified"); }

struct HeadSizes {
  int64_t head_dim;
  int64_t n_kv_heads;
};

// Keys are layer numbers, in some files with leading zeros; layers that are left out have `base`.
std::vector<HeadSizes> read_per_layer_config(ConfigReader layers, HeadSizes base, size_t n_layers) {
  std::vector<HeadSizes> sizes(n_layers, base);
  for (const std::string& key : layers.keys()) {
    size_t i = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), i);
    if (error != std::errc() || end != key.data() + key.size() || i >= n_layers) {
      fail(ErrorCode::kCorrupt, "{}: \"{}\" is not the number of a layer", layers.where(), key);
    }
    ConfigReader layer = layers.object(key);
    sizes[i] = {layer.size_or("head_dim", base.head_dim, kMaxHeadDim),
                layer.size_or("num_key_value_heads", base.n_kv_heads)};
    layer.finish();
  }
  return sizes;
}

// Two spellings: global_head_dim and num_global_key_value_heads, or, first, per_layer_config.
std::vector<HeadSizes> read_sizes(ConfigReader& config, const std::vector<bool>& sliding,
                                  bool global_v_is_k) {
  const HeadSizes local{config.size_or("head_dim", 256, kMaxHeadDim),
                        config.size_or("num_key_value_heads", 4)};
  HeadSizes global{config.size_or("global_head_dim", 512, kMaxHeadDim), local.n_kv_heads};
  const int64_t n_global = config.size_or("num_global_key_value_heads", local.n_kv_heads);
  if (global_v_is_k) global.n_kv_heads = n_global;
  if (config.has("per_layer_config")) {
    return read_per_layer_config(config.object("per_layer_config"), local, sliding.size());
  }
  std::vector<HeadSizes> sizes;
  for (const bool slides : sliding) sizes.push_back(slides ? local : global);
  return sizes;
}

// The head size of all layers of a kind; `fallback` if there are none.
int64_t head_dim_of(bool kind, const std::vector<bool>& sliding,
                    const std::vector<HeadSizes>& sizes, int64_t fallback) {
  std::optional<int64_t> dim;
  for (size_t i = 0; i < sliding.size(); ++i) {
    if (sliding[i] != kind) continue;
    if (dim && *dim != sizes[i].head_dim) {
      fail(ErrorCode::kUnsupported,
           "config.json: per_layer_config gives layers of the same type heads of {} and of {}",
           *dim, sizes[i].head_dim);
    }
    dim = sizes[i].head_dim;
  }
  return dim.value_or(fallback);
}

std::vector<RopeSpec> read_ropes(ConfigReader& config, int64_t global_dim, int64_t local_dim) {
  static const Json defaults = {
      {"full_attention",
       {{"rope_type", "proportional"}, {"partial_rotary_factor", 0.25}, {"rope_theta", 1e6}}},
      {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 1e4}}}};
  ConfigReader kinds = config.has("rope_parameters") ? config.object("rope_parameters")
                                                     : ConfigReader(defaults, "default ropes");
  std::vector<RopeSpec> ropes = {make_rope(global_dim, 1e4, kinds.object("full_attention")),
                                 make_rope(local_dim, 1e4, kinds.object("sliding_attention"))};
  kinds.finish();
  return ropes;
}

// The last layer of the same kind before the first that shares.
int64_t donor(const std::vector<bool>& sliding, size_t layer, size_t first_sharing) {
  for (size_t i = first_sharing; i-- > 0;) {
    if (sliding[i] == sliding[layer]) return static_cast<int64_t>(i);
  }
  fail(ErrorCode::kCorrupt,
       "config.json: num_kv_shared_layers leaves no layer whose keys and values layer {} can use",
       layer);
}

std::optional<MoeSpec> read_moe(ConfigReader& config) {
  if (!config.bool_or("enable_moe_block", false)) {
    config.ignore(
        {"num_experts", "top_k_experts", "moe_intermediate_size", "expert_intermediate_size"});
    return std::nullopt;
  }
  MoeSpec moe;
  moe.n_experts = config.need_size("num_experts");
  moe.top_k = config.need_size("top_k_experts");
  moe.width = config.has("expert_intermediate_size")  // in drafts
                  ? config.need_size("expert_intermediate_size")
                  : config.need_size("moe_intermediate_size");
  moe.activate = Activate::kGeluTanh;
  moe.expert_scale = true;
  moe.router_norm = true;
  return moe;
}

void read_layers(ConfigReader& config, ModelSpec& spec) {
  const auto n_layers = static_cast<size_t>(config.size_or("num_hidden_layers", 30, kMaxLayers));
  std::vector<bool> sliding = read_layer_types(config, static_cast<int64_t>(n_layers), 6);
  sliding.back() = false;  // transformers runs it as a global one whatever the config says
  const bool global_v_is_k = config.bool_or("attention_k_eq_v", false);
  const std::vector<HeadSizes> sizes = read_sizes(config, sliding, global_v_is_k);
  const int64_t global_dim = sizes.back().head_dim;
  spec.ropes = read_ropes(config, head_dim_of(false, sliding, sizes, global_dim),
                          head_dim_of(true, sliding, sizes, global_dim));

  GqaSpec attention;
  attention.n_heads = config.size_or("num_attention_heads", 8);
  attention.scale = 1;
  attention.qk_norm = true;
  attention.v_norm = true;
  attention.bias = attention.o_bias = config.bool_or("attention_bias", false);
  const int64_t window = config.size_or("sliding_window", is_unified(spec) ? 1024 : 512);
  MlpSpec mlp;
  mlp.width = config.size_or("intermediate_size", 9216);
  mlp.activate = Activate::kGeluTanh;
  config.expect("hidden_activation", "gelu_pytorch_tanh");
  const std::optional<MoeSpec> moe = read_moe(config);
  const auto n_sharing = static_cast<size_t>(config.count_or("num_kv_shared_layers", 0));
  const size_t first_sharing = n_layers - std::min(n_sharing, n_layers);
  const bool double_wide = config.bool_or("use_double_wide_mlp", false);

  for (size_t i = 0; i < n_layers; ++i) {
    GqaSpec gqa = attention;
    gqa.head_dim = sizes[i].head_dim;
    gqa.n_kv_heads = sizes[i].n_kv_heads;
    gqa.window = sliding[i] ? window : 0;
    gqa.rope = sliding[i] ? kLocal : kGlobal;
    gqa.v_is_k = global_v_is_k && !sliding[i];
    MlpSpec layer_mlp = mlp;
    if (i >= first_sharing) {
      gqa.kv_from = donor(sliding, i, first_sharing);
      if (double_wide) layer_mlp.width *= 2;
    }
    LayerSpec layer{.attention = gqa, .ffn = layer_mlp};
    if (moe) layer.ffn = MlpMoeSpec{layer_mlp, *moe};
    layer.post_attention_norm = layer.post_ffn_norm = layer.output_scale = true;
    spec.layers.push_back(layer);
  }
}

std::optional<PerLayerInputSpec> read_per_layer_input(ConfigReader& config, const ModelSpec& spec,
                                                      const std::string& dtype) {
  PerLayerInputSpec inputs;
  inputs.dim = config.count_or("hidden_size_per_layer_input", is_unified(spec) ? 0 : 256);
  inputs.vocab = config.size_or("vocab_size_per_layer_input", 262144);
  if (inputs.dim == 0) return std::nullopt;
  if (inputs.vocab < spec.vocab) {
    fail(ErrorCode::kCorrupt, "{}: vocab_size_per_layer_input ({}) is below vocab_size ({})",
         config.where(), inputs.vocab, spec.vocab);
  }
  inputs.embed_scale = root_in_dtype(inputs.dim, dtype);
  return inputs;
}

// Defaults are those of Gemma4TextConfig and Gemma4UnifiedTextConfig.
ModelSpec make_text_spec(ConfigReader& config, const std::string& outer_dtype) {
  ModelSpec spec;
  spec.arch = config.string_or("model_type", "");
  const std::string dtype = weight_dtype(config, outer_dtype);
  spec.vocab = config.size_or("vocab_size", 262144);
  spec.hidden = config.size_or("hidden_size", 2304);
  spec.max_position = config.size_or("max_position_embeddings", is_unified(spec) ? 262144 : 131072);
  spec.norm_eps = static_cast<float>(config.positive_or("rms_norm_eps", 1e-6));
  spec.embed_scale = root_in_dtype(spec.hidden, dtype);
  spec.final_softcap = static_cast<float>(config.positive_or("final_logit_softcapping", 0));
  spec.tied_head = config.bool_or("tie_word_embeddings", true);
  config.expect("use_bidirectional_attention", "vision");  // which leaves text causal
  read_layers(config, spec);

  spec.per_layer_input = read_per_layer_input(config, spec, dtype);
  config.finish();
  return spec;
}

}  // namespace

ModelSpec read_gemma4_config(const Json& json) {
  return read_text_config(json, make_text_spec,
                          {"audio_config", "audio_token_id", "boa_token_id", "boi_token_id",
                           "eoa_token_id", "eoa_token_index", "eoi_token_id", "image_token_id",
                           "video_token_id", "vision_config", "vision_soft_tokens_per_image"});
}

TensorNames gemma4_tensor_names() {
  TensorNames names;
  names.places = {{"model.", "lm_head"},
                  {"model.language_model.", "lm_head"},
                  {"language_model.model.", "language_model.lm_head"}};
  names.post_attention_norm = "post_attention_layernorm";
  names.ffn_norm = "pre_feedforward_layernorm";
  names.post_ffn_norm = "post_feedforward_layernorm";
  names.output_scale = "layer_scalar";
  names.router = "router.proj";
  names.router_scale = "router.scale";
  names.expert_scale = "router.per_expert_scale";
  names.experts = "experts";
  names.mlp_post_norm = "post_feedforward_layernorm_1";
  names.moe_pre_norm = "pre_feedforward_layernorm_2";
  names.moe_post_norm = "post_feedforward_layernorm_2";
  names.unused = {"vision_tower.", "vision_embedder.", "embed_vision.",
                  "audio_tower.",  "embed_audio.",     "rotary_emb.inv_freq"};
  return names;
}

}  // namespace tq
