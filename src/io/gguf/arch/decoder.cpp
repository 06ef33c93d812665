#include "io/gguf/arch/decoder.h"

#include <string>
#include <vector>

#include "io/gguf/gguf_dequant.h"

namespace tq {
namespace {

const GgufTensor& embedding(const GgufFile& file, int64_t hidden) {
  const GgufTensor* tensor = file.find_tensor("token_embd.weight");
  if (tensor == nullptr) {
    fail(ErrorCode::kNotFound, "{}: there is no tensor token_embd.weight", file.name());
  }
  if (tensor->shape.size() != 2 || tensor->shape[1] != hidden) {
    fail(ErrorCode::kCorrupt, "{}: token_embd.weight has shape {}, but embedding_length is {}",
         file.name(), shape_string(tensor->shape), hidden);
  }
  return *tensor;
}

// Yarn's parameters, under the names of transformers. The factor of attention that a file may have
// besides is one that no published model has.
Json yarn(GgufMetadata& metadata, double factor) {
  Json scaling = {{"rope_type", "yarn"}, {"factor", factor}};
  scaling["original_max_position_embeddings"] =
      metadata.size("rope.scaling.original_context_length");
  if (const auto fast = metadata.positive_if("rope.scaling.yarn_beta_fast")) {
    scaling["beta_fast"] = *fast;
  }
  if (const auto slow = metadata.positive_if("rope.scaling.yarn_beta_slow")) {
    scaling["beta_slow"] = *slow;
  }
  metadata.expect_number("rope.scaling.yarn_ext_factor", 1);
  metadata.expect_number("rope.scaling.attn_factor", 1);
  if (const auto attention = metadata.positive_if("rope.scaling.yarn_attn_factor")) {
    scaling["attention_factor"] = *attention;
  }
  return scaling;
}

}  // namespace

std::optional<int64_t> gguf_token_id(const GgufFile& file, std::string_view name) {
  const std::string key = fmt::format("tokenizer.ggml.{}_token_id", name);
  const auto id = file.integer(key);
  // Writers say "none" by -1 or its 32 bits; the tokenizer warns of it.
  const GgufTensor* table = file.find_tensor("token_embd.weight");
  const int64_t limit = table != nullptr ? table->shape[0] : std::numeric_limits<int32_t>::max();
  return id && *id >= 0 && *id < limit ? id : std::nullopt;
}

Json gguf_rope_scaling(GgufMetadata& metadata) {
  const auto type = metadata.string_if("rope.scaling.type");
  auto factor = metadata.positive_if("rope.scaling.factor");
  if (!factor) factor = metadata.positive_if("rope.scale_linear");  // its name in old files
  metadata.ignore("rope.scaling.finetuned");
  if (type == "yarn") {
    if (!factor) metadata.positive("rope.scaling.factor");  // says that it is missing
    return yarn(metadata, *factor);
  }
  metadata.ignore("rope.scaling.original_context_length");  // of types that are refused here
  if (type && *type != "none" && *type != "linear") {
    metadata.unsupported("rope.scaling.type", std::string(*type));
  }
  if (type == "none" || factor.value_or(1.0) == 1.0) return nullptr;
  return {{"rope_type", "linear"}, {"factor", *factor}};
}

int64_t gguf_head_dim(GgufMetadata& metadata, const Json& config) {
  const auto hidden = config["hidden_size"].get<int64_t>();
  const auto n_heads = config["num_attention_heads"].get<int64_t>();
  const auto stored = metadata.size_if("attention.key_length");
  if (!stored && hidden % n_heads != 0) {
    metadata.unsupported("attention.head_count",
                         fmt::format("{}, which does not divide {}", n_heads, hidden));
  }
  const int64_t dim = stored.value_or(hidden / n_heads);
  metadata.expect_size("attention.value_length", dim);
  return dim;
}

Json gguf_layer_types(GgufMetadata& metadata, int64_t n_layers, int64_t default_period) {
  constexpr const char* kKey = "attention.sliding_window_pattern";
  std::vector<int64_t> slides;
  if (metadata.is_array(kKey)) {
    slides = metadata.integers_if(kKey).value();
    if (static_cast<int64_t>(slides.size()) != n_layers) {
      metadata.unsupported(kKey, fmt::format("of {} layers, not {}", slides.size(), n_layers));
    }
  } else {
    const int64_t period = metadata.size_if(kKey).value_or(default_period);
    for (int64_t i = 0; i < n_layers; ++i) slides.push_back((i + 1) % period != 0);
  }
  Json types = Json::array();
  for (const int64_t slide : slides) {
    types.push_back(slide != 0 ? "sliding_attention" : "full_attention");
  }
  return types;
}

std::vector<float> gguf_plain_vector(const GgufFile& file, std::string_view name, int64_t n) {
  const GgufTensor* tensor = file.find_tensor(name);
  if (tensor == nullptr) fail(ErrorCode::kNotFound, "{}: there is no tensor {}", file.name(), name);
  const GgmlTypeInfo* type = find_ggml_type(static_cast<uint32_t>(tensor->type));
  if (tensor->shape != Shape{n} || type == nullptr || !type->dtype) {
    fail(ErrorCode::kCorrupt, "{}: {} has shape {} and type {}; {} plain numbers were expected",
         file.name(), name, shape_string(tensor->shape),
         ggml_type_label(static_cast<uint32_t>(tensor->type)), n);
  }
  std::vector<float> values(static_cast<size_t>(n));
  type->decode(file.tensor_bytes(*tensor).data(), n, values.data());
  return values;
}

Json gguf_decoder_config(GgufMetadata& metadata, const GgufDecoder& decoder) {
  const GgufFile& file = metadata.file();
  const int64_t hidden = metadata.size("embedding_length");
  const int64_t n_layers = metadata.size("block_count");
  const int64_t n_heads = metadata.size("attention.head_count");
  if (n_layers > static_cast<int64_t>(file.tensors().size())) {
    fail(ErrorCode::kCorrupt, "{}: {} layers, but only {} tensors", file.name(), n_layers,
         file.tensors().size());
  }
  Json config;
  config["architectures"] = {decoder.class_name};
  config["model_type"] = decoder.model_type;
  config["vocab_size"] = embedding(file, hidden).shape[0];
  config["hidden_size"] = hidden;
  if (!decoder.own_sizes) config["intermediate_size"] = metadata.size("feed_forward_length");
  config["num_hidden_layers"] = n_layers;
  config["num_attention_heads"] = n_heads;
  if (!decoder.own_sizes) {
    config["num_key_value_heads"] = metadata.size_if("attention.head_count_kv").value_or(n_heads);
    const int64_t head_dim = gguf_head_dim(metadata, config);
    metadata.expect_size("rope.dimension_count", head_dim);
    config["head_dim"] = head_dim;
  }
  config["max_position_embeddings"] = metadata.size("context_length");
  config["rms_norm_eps"] = metadata.positive("attention.layer_norm_rms_epsilon");
  config["rope_theta"] = metadata.positive_if("rope.freq_base").value_or(10000.0);
  if (!decoder.own_sizes) config["rope_scaling"] = gguf_rope_scaling(metadata);
  config["attention_bias"] = false;
  config["tie_word_embeddings"] = file.find_tensor("output.weight") == nullptr;
  if (const auto bos = gguf_token_id(file, "bos")) config["bos_token_id"] = *bos;
  if (const auto eos = gguf_token_id(file, "eos")) config["eos_token_id"] = *eos;
  metadata.ignore("vocab_size");  // the embedding's rows count
  metadata.ignore("tensor_data_layout");
  return config;
}

}  // namespace tq
