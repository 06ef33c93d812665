#include "model/arch/gqa_config.h"

#include <cmath>
#include <string>

#include "base/error.h"

namespace tq {

GqaSpec read_gqa(ConfigReader& config, int64_t hidden) {
  GqaSpec attention;
  attention.n_heads = config.need_size("num_attention_heads");
  attention.n_kv_heads = config.size_or("num_key_value_heads", attention.n_heads);
  if (!config.has("head_dim") && hidden % attention.n_heads != 0) {
    fail(ErrorCode::kCorrupt, "{}: hidden_size ({}) does not divide by the heads ({})",
         config.where(), hidden, attention.n_heads);
  }
  attention.head_dim = config.size_or("head_dim", hidden / attention.n_heads, kMaxHeadDim);
  attention.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(attention.head_dim)));
  return attention;
}

void refuse_windows(ConfigReader& config) {
  if (config.bool_or("use_sliding_window", false)) {
    fail(ErrorCode::kUnsupported, "{}: use_sliding_window is not supported", config.where());
  }
  config.ignore({"sliding_window", "max_window_layers"});
  for (const std::string& type : config.strings("layer_types")) {
    if (type == "full_attention") continue;
    fail(ErrorCode::kUnsupported, "{}: layer type \"{}\" is not supported", config.where(), type);
  }
}

}  // namespace tq
