// What the configs of the Gemma generations share, and of others: kinds of layers, text_config.
// Functions of their arguments alone.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "model/config_reader.h"
#include "model/spec.h"

namespace tq {

// The dtype a checkpoint's weights are meant to have.
std::string weight_dtype(ConfigReader& config, const std::string& fallback);

// sqrt(n) as transformers multiplies embeddings by it: rounded to the dtype of the weights. Throws
// kUnsupported for a dtype other than float32, bfloat16 and float16.
float root_in_dtype(int64_t n, const std::string& dtype);

// For each layer, whether it is of this type, and not of full attention: by layer_types, or every
// pattern-th one is not.
std::vector<bool> read_layer_types(ConfigReader& config, int64_t n_layers, int64_t pattern,
                                   std::string_view type = "sliding_attention");

// The spec of a text-only config or of the text_config in a multimodal one. make_spec gets the
// reader of the text fields, which it finishes, and the dtype of the weights if these do not say;
// other_fields are those beside a text_config that only the other parts of the model read.
ModelSpec read_text_config(
    const Json& json,
    const std::function<ModelSpec(ConfigReader& text, const std::string& dtype)>& make_spec,
    std::initializer_list<std::string_view> other_fields);

}  // namespace tq
