#include "model/arch/registry.h"

#include <algorithm>
#include <string>

#include "base/error.h"
#include "model/config_reader.h"

namespace tq {

ModelSpec Architecture::make_spec(const Json& config) const {
  ModelSpec spec = read_config(config);
  spec.check();
  return spec;
}

ModelSpec Architecture::make_spec(const Checkpoint& checkpoint) const {
  try {
    return make_spec(checkpoint.config());
  } catch (const Error& error) {
    rethrow_located(error, checkpoint);
  }
}

std::span<const Architecture> all_architectures() {
  static const std::vector<Architecture> list = {
      {{"llama"}, read_llama_config, llama_tensor_names},
      {{"gemma3_text", "gemma3"}, read_gemma3_config, gemma3_tensor_names},
      {{"gemma4_text", "gemma4", "gemma4_unified_text", "gemma4_unified"},
       read_gemma4_config,
       gemma4_tensor_names},
      {{"qwen2"}, read_qwen2_config, qwen2_tensor_names},
      {{"qwen3", "qwen3_moe"}, read_qwen3_config, qwen3_tensor_names},
      {{"qwen3_5_text", "qwen3_5", "qwen3_5_moe_text", "qwen3_5_moe"},
       read_qwen3_5_config,
       qwen3_5_tensor_names},
      {{"glm4_moe_lite"}, read_glm4_moe_lite_config, glm4_moe_lite_tensor_names},
      {{"mistral", "ministral3", "mistral3"}, read_mistral_config, mistral_tensor_names},
      {{"smollm3"}, read_smollm3_config, smollm3_tensor_names},
      {{"phi3"}, read_phi3_config, phi3_tensor_names},
      {{"gpt_oss"}, read_gpt_oss_config, gpt_oss_tensor_names},
  };
  return list;
}

const Architecture& find_architecture(const Json& config) {
  const std::string type = ConfigReader(config, "config.json").string_or("model_type", "");
  if (type.empty()) {
    fail(ErrorCode::kNotFound,
         "config.json is missing or has no model_type: it is needed to know the architecture");
  }
  std::string supported;
  for (const Architecture& arch : all_architectures()) {
    if (std::find(arch.model_types.begin(), arch.model_types.end(), type) !=
        arch.model_types.end()) {
      return arch;
    }
    for (const std::string_view name : arch.model_types) {
      supported += fmt::format("{}{}", supported.empty() ? "" : ", ", name);
    }
  }
  fail(ErrorCode::kUnsupported, "config.json: model_type \"{}\" is not supported (supported: {})",
       type, supported);
}

const Architecture& find_architecture(const Checkpoint& checkpoint) {
  refuse_not_a_model(checkpoint);
  try {
    return find_architecture(checkpoint.config());
  } catch (const Error& error) {
    rethrow_located(error, checkpoint);
  }
}

ModelSpec read_spec(const Checkpoint& checkpoint) {
  return find_architecture(checkpoint).make_spec(checkpoint);
}

}  // namespace tq
