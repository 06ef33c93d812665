// Mistral (7B to Small 3.2) and Ministral 3: the Llama layout without biases; all layers slide
// where there is a window, and Ministral 3's queries are scaled by their position. After
// transformers' modeling_mistral.py and modeling_ministral3.py. Of multimodal checkpoints
// (model_type "mistral3") the text decoder is run.
#include <algorithm>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/arch/gemma_common.h"
#include "model/arch/gqa_config.h"
#include "model/arch/registry.h"
#include "model/arch/rope.h"
#include "model/config_reader.h"

namespace tq {
namespace {

// Missing it is 4096 in MistralConfig; null, as in all releases after 7B v0.1, is none. Ministral 3
// has none unless it says so.
int64_t read_mistral_window(ConfigReader& config, bool is_ministral) {
  const std::vector<std::string> keys = config.keys();
  const bool is_there = std::find(keys.begin(), keys.end(), "sliding_window") != keys.end();
  return config.size_or("sliding_window", is_ministral || is_there ? 0 : 4096);
}

// Ministral 3's rope_parameters say how its queries are scaled as well.
void read_ministral_rope(ConfigReader& config, GqaSpec& attention, ModelSpec& spec) {
  const std::string_view key = rope_key(config);
  if (!config.has(key)) {
    fail(ErrorCode::kNotFound, "{}: rope_parameters are missing: Ministral 3 is scaled by yarn",
         config.where());
  }
  ConfigReader params = config.object(key);
  attention.query_beta = static_cast<float>(params.positive_or("llama_4_scaling_beta", 0));
  if (attention.query_beta > 0) {
    attention.query_span = params.need_size("original_max_position_embeddings");
  }
  params.ignore({"max_position_embeddings"});  // what the outer field says
  const double theta = config.positive_or("rope_theta", 10000);
  spec.ropes = {make_rope(attention.head_dim, theta, params)};
}

ModelSpec make_mistral_spec(ConfigReader& config, bool default_tied) {
  ModelSpec spec;
  const std::string type = config.string_or("model_type", "mistral");
  const bool is_ministral = type == "ministral3";
  if (!is_ministral && type != "mistral") {
    fail(ErrorCode::kUnsupported, "{}: a text decoder of model_type \"{}\" is not supported",
         config.where(), type);
  }
  spec.vocab = config.size_or("vocab_size", is_ministral ? 131072 : 32000);
  spec.hidden = config.size_or("hidden_size", 4096);
  spec.max_position = config.size_or("max_position_embeddings", is_ministral ? 262144 : 131072);
  spec.norm_eps =
      static_cast<float>(config.positive_or("rms_norm_eps", is_ministral ? 1e-5 : 1e-6));
  spec.tied_head = config.bool_or("tie_word_embeddings", default_tied);

  GqaSpec attention = read_gqa(config, spec.hidden);
  attention.window = read_mistral_window(config, is_ministral);
  if (is_ministral) {
    read_ministral_rope(config, attention, spec);
  } else {
    spec.ropes = {read_rope(config, attention.head_dim, 10000)};
  }
  MlpSpec mlp;
  mlp.width = config.need_size("intermediate_size");
  config.expect("hidden_act", "silu");
  const int64_t n_layers = config.need_size("num_hidden_layers", kMaxLayers);
  spec.layers.assign(static_cast<size_t>(n_layers), {attention, mlp});
  config.finish();
  return spec;
}

}  // namespace

ModelSpec read_mistral_config(const Json& json) {
  // Mistral3Config is tied unless it or its text_config says otherwise.
  const bool default_tied = json.is_object() && json.contains("text_config");
  return read_text_config(
      json,
      [default_tied](ConfigReader& text, const std::string& /*dtype*/) {
        return make_mistral_spec(text, default_tied);
      },
      {"vision_config", "image_token_index", "projector_hidden_act", "vision_feature_layer",
       "multimodal_projector_bias", "spatial_merge_size"});
}

TensorNames mistral_tensor_names() {
  TensorNames names;
  names.places = {{"model.", "lm_head"},
                  {"language_model.model.", "language_model.lm_head"},
                  {"model.language_model.", "lm_head"}};
  names.unused = {"vision_tower.", "multi_modal_projector.", "rotary_emb.inv_freq"};
  return names;
}

}  // namespace tq
