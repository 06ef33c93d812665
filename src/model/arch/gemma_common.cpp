#include "model/arch/gemma_common.h"

#include <cmath>

#include "base/error.h"
#include "base/float16.h"

namespace tq {

std::string weight_dtype(ConfigReader& config, const std::string& fallback) {
  return config.string_or("dtype", config.string_or("torch_dtype", fallback));
}

float root_in_dtype(int64_t n, const std::string& dtype) {
  const auto root = static_cast<float>(std::sqrt(static_cast<double>(n)));
  if (dtype == "float32") return root;
  if (dtype == "float16") return f16_to_f32(f32_to_f16(root));
  if (dtype == "bfloat16") return bf16_to_f32(f32_to_bf16(root));
  fail(ErrorCode::kUnsupported, "config.json: dtype \"{}\" is not supported", dtype);
}

std::vector<bool> read_layer_types(ConfigReader& config, int64_t n_layers, int64_t pattern,
                                   std::string_view type) {
  const std::vector<std::string> given = config.strings("layer_types");
  if (!given.empty() && static_cast<int64_t>(given.size()) != n_layers) {
    fail(ErrorCode::kCorrupt, "{}: {} layer_types for {} layers", config.where(), given.size(),
         n_layers);
  }
  std::vector<bool> is_type;
  for (int64_t i = 0; i < n_layers; ++i) {
    if (given.empty()) {
      is_type.push_back((i + 1) % pattern != 0);
      continue;
    }
    const std::string& one = given[static_cast<size_t>(i)];
    if (one != type && one != "full_attention") {
      fail(ErrorCode::kUnsupported, "{}: layer type \"{}\" is not supported", config.where(), one);
    }
    is_type.push_back(one == type);
  }
  return is_type;
}

ModelSpec read_text_config(
    const Json& json,
    const std::function<ModelSpec(ConfigReader& text, const std::string& dtype)>& make_spec,
    std::initializer_list<std::string_view> other_fields) {
  ConfigReader config(json, "config.json");
  ModelSpec spec;
  if (config.has("text_config")) {
    const std::string dtype = weight_dtype(config, "bfloat16");
    ConfigReader text = config.object("text_config");
    spec = make_spec(text, dtype);
    spec.tied_head = config.bool_or("tie_word_embeddings", spec.tied_head);
    config.ignore(other_fields);
    config.finish();
  } else {
    spec = make_spec(config, "bfloat16");
  }
  spec.arch = config.string_or("model_type", "");
  return spec;
}

}  // namespace tq
