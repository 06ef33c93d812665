// What the configs of most GGUF architectures have in common. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "io/gguf/gguf_metadata.h"

namespace tq {

// tokenizer.ggml.<name>_token_id; nothing where the file says that there is none.
std::optional<int64_t> gguf_token_id(const GgufFile& file, std::string_view name);

// What every decoder has, whatever its attention: sizes, layers, context, norms, tied head.
struct GgufDecoder {
  const char* model_type;
  const char* class_name;
  // The width of feed-forward blocks, heads of keys and values, head size and rope scaling are left
  // to the caller.
  bool own_sizes = false;
};
Json gguf_decoder_config(GgufMetadata& metadata, const GgufDecoder& decoder);

// null, or the rope_scaling that the metadata says: linear, yarn. Other kinds are refused.
Json gguf_rope_scaling(GgufMetadata& metadata);
// The head size: attention.key_length, or what hidden_size and the heads of `config` come to;
// values have the same. rope.dimension_count is left to the caller.
int64_t gguf_head_dim(GgufMetadata& metadata, const Json& config);

// "sliding_attention" and "full_attention" by layer. The file says which layers slide by a period
// (the last layer of each is full), or one by one, or not at all: then the period is the default.
Json gguf_layer_types(GgufMetadata& metadata, int64_t n_layers, int64_t default_period);

// The numbers of a tensor of plain elements with this shape; kCorrupt for another one.
std::vector<float> gguf_plain_vector(const GgufFile& file, std::string_view name, int64_t n);

inline Json optional_number(const std::optional<double>& value) {
  return value ? Json(*value) : Json(nullptr);
}

}  // namespace tq
