// Phi-3 and Phi-4: the Llama layout with q, k and v in one tensor and gate and up in another, a
// rope that may turn a part of each head, and longrope. After transformers' modeling_phi3.py.
#include <cmath>
#include <string>

#include "base/error.h"
#include "model/arch/gqa_config.h"
#include "model/arch/registry.h"
#include "model/arch/rope.h"
#include "model/config_reader.h"

namespace tq {
namespace {

// rope_theta and partial_rotary_factor may stand beside the rope or in it.
RopeSpec read_phi3_rope(ConfigReader& config, const Json& json, const ModelSpec& spec,
                        int64_t head_dim) {
  const double theta = config.positive_or("rope_theta", 10000);
  const double outer_part = config.positive_or("partial_rotary_factor", 1);
  const int64_t outer_context = config.size_or("original_max_position_embeddings", 4096);
  const std::string key(rope_key(config));
  Json rope = Json::object();
  const std::string where = config.where() + ": " + key;
  if (config.has(key)) {
    static_cast<void>(config.object(key));  // marks it as read, and says so if it is no object
    rope = json.at(key);
  }
  const double part = ConfigReader(rope, where).positive_or("partial_rotary_factor", outer_part);
  if (part > 1) {
    fail(ErrorCode::kCorrupt, "{}: partial_rotary_factor is {}, above 1", config.where(), part);
  }
  rope.erase("partial_rotary_factor");
  const auto dims = static_cast<int64_t>(std::floor(static_cast<double>(head_dim) * part));
  if (dims < 2 || dims % 2 != 0) {
    fail(ErrorCode::kCorrupt, "{}: partial_rotary_factor {} turns {} of {} dims", config.where(),
         part, dims, head_dim);
  }
  ConfigReader reader(rope, where);
  const std::string type = reader.string_or("rope_type", reader.string_or("type", "default"));
  if (type == "default") {
    rope.erase("original_max_position_embeddings");
    return make_rope(dims, theta, ConfigReader(rope, where));
  }
  if (type != "longrope" && type != "su" && type != "yarn") {
    fail(ErrorCode::kUnsupported, "{}: rope type \"{}\" is not supported (default, longrope)",
         where, type);
  }
  // The outer field, or its default, goes before that of the rope.
  rope["original_max_position_embeddings"] = outer_context;
  return make_longrope(dims, theta, spec.max_position, ConfigReader(rope, where));
}

}  // namespace

ModelSpec read_phi3_config(const Json& json) {
  ConfigReader config(json, "config.json");
  ModelSpec spec;
  spec.arch = config.string_or("model_type", "");
  spec.vocab = config.need_size("vocab_size");
  spec.hidden = config.need_size("hidden_size");
  spec.max_position = config.size_or("max_position_embeddings", 4096);
  spec.norm_eps = static_cast<float>(config.positive_or("rms_norm_eps", 1e-5));
  spec.tied_head = config.bool_or("tie_word_embeddings", false);

  GqaSpec attention = read_gqa(config, spec.hidden);
  attention.window = config.size_or("sliding_window", 0);
  spec.ropes = {read_phi3_rope(config, json, spec, attention.head_dim)};

  MlpSpec mlp;
  mlp.width = config.need_size("intermediate_size");
  config.expect("hidden_act", "silu");
  const int64_t n_layers = config.need_size("num_hidden_layers", kMaxLayers);
  spec.layers.assign(static_cast<size_t>(n_layers), {attention, mlp});
  config.finish();
  return spec;
}

TensorNames phi3_tensor_names() {
  TensorNames names;
  names.qkv = "self_attn.qkv_proj";
  names.gate_up = "mlp.gate_up_proj";
  names.unused = {"rotary_emb.inv_freq"};
  return names;
}

}  // namespace tq
