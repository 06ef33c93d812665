// Qwen2 and Qwen2.5: the Llama layout with biases of queries, keys and values, whatever the config
// says, and none of the output projection. After transformers' modeling_qwen2.py.
#include <string>
#include <vector>

#include "base/error.h"
#include "model/arch/gqa_config.h"
#include "model/arch/registry.h"
#include "model/arch/rope.h"
#include "model/config_reader.h"

namespace tq {
namespace {

// The window of each layer, 0 for none. sliding_window and max_window_layers stand in every
// published config and mean nothing without use_sliding_window, which no published model sets, or
// with a window of null.
std::vector<int64_t> read_windows(ConfigReader& config, bool null_window, int64_t n_layers) {
  const bool enabled = config.bool_or("use_sliding_window", false) && !null_window;
  const int64_t window = config.size_or("sliding_window", 4096);
  const int64_t n_full = config.count_or("max_window_layers", 28);
  const std::vector<std::string> types = config.strings("layer_types");
  if (!types.empty() && types.size() != static_cast<size_t>(n_layers)) {
    fail(ErrorCode::kCorrupt, "{}: layer_types has {} entries for {} layers", config.where(),
         types.size(), n_layers);
  }
  std::vector<int64_t> windows;
  for (int64_t i = 0; i < n_layers; ++i) {
    bool slides = enabled && i >= n_full;
    if (!types.empty()) {
      const std::string& type = types[static_cast<size_t>(i)];
      slides = type == "sliding_attention";
      if (!slides && type != "full_attention") {
        fail(ErrorCode::kUnsupported, "{}: layer type \"{}\" is not supported", config.where(),
             type);
      }
    }
    if (slides && !enabled) {
      fail(ErrorCode::kCorrupt,
           "{}: layer_types has sliding layers, but there is no window (use_sliding_window, "
           "sliding_window)",
           config.where());
    }
    windows.push_back(slides ? window : 0);
  }
  return windows;
}

}  // namespace

ModelSpec read_qwen2_config(const Json& json) {
  ConfigReader config(json, "config.json");
  ModelSpec spec;
  spec.arch = config.string_or("model_type", "");
  spec.vocab = config.need_size("vocab_size");
  spec.hidden = config.need_size("hidden_size");
  spec.max_position = config.size_or("max_position_embeddings", 32768);
  spec.norm_eps = static_cast<float>(config.positive_or("rms_norm_eps", 1e-6));
  spec.tied_head = config.bool_or("tie_word_embeddings", false);

  GqaSpec attention = read_gqa(config, spec.hidden);
  attention.bias = true;
  config.ignore({"attention_bias"});  // some exporters write it; the biases are there all the same
  spec.ropes = {read_rope(config, attention.head_dim, 10000)};

  MlpSpec mlp;
  mlp.width = config.need_size("intermediate_size");
  config.expect("hidden_act", "silu");

  const int64_t n_layers = config.need_size("num_hidden_layers", kMaxLayers);
  const auto window_field = json.find("sliding_window");
  const bool null_window = window_field != json.end() && window_field->is_null();
  for (const int64_t window : read_windows(config, null_window, n_layers)) {
    attention.window = window;
    spec.layers.push_back({attention, mlp});
  }
  config.finish();
  return spec;
}

TensorNames qwen2_tensor_names() {
  TensorNames names;
  names.unused = {"rotary_emb.inv_freq"};
  return names;
}

}  // namespace tq
