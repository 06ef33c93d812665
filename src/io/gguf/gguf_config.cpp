#include "io/gguf/gguf_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <numbers>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "io/gguf/gguf_dequant.h"

namespace tq {

// The metadata of one architecture ("llama.block_count" is asked for as "block_count"). Remembers
// what was asked for, so that keys nobody understood can be refused. Of one gguf_config() call.
class GgufMetadata {
 public:
  GgufMetadata(const GgufFile& file, std::string_view arch, std::span<const std::string> ignored)
      : file_(file), prefix_(std::string(arch) + "."), ignored_(ignored.begin(), ignored.end()) {
    for (const std::string& key : ignored) {
      if (file.has(key)) {
        warn("{}: metadata key {} is ignored", file.name(), key);
      } else {
        warn("{}: there is no metadata key {} to ignore", file.name(), key);
      }
    }
  }

  const GgufFile& file() const { return file_; }

  // A size: a positive integer.
  int64_t size(std::string_view name) { return require(size_if(name), name); }
  std::optional<int64_t> size_if(std::string_view name) {
    const std::string key = use(name);
    const auto value = file_.integer(key);
    if (value && (*value <= 0 || *value > std::numeric_limits<int32_t>::max())) {
      fail(ErrorCode::kCorrupt, "{}: metadata key {} is {}", file_.name(), key, *value);
    }
    return value;
  }
  // A positive finite number, as the shortest decimal that is the stored f32: 1e-05.
  double positive(std::string_view name) { return require(positive_if(name), name); }
  std::optional<double> positive_if(std::string_view name) {
    const std::string key = use(name);
    const auto value = file_.number(key);
    if (!value) return std::nullopt;
    if (!std::isfinite(*value) || *value <= 0) {
      fail(ErrorCode::kCorrupt, "{}: metadata key {} is {}", file_.name(), key, *value);
    }
    return shortest(*value);
  }
  std::optional<std::string_view> string_if(std::string_view name) {
    return file_.string(use(name));
  }
  std::optional<std::vector<int64_t>> integers_if(std::string_view name) {
    return file_.integers(use(name));
  }
  bool is_array(std::string_view name) { return file_.is_array(use(name)); }

  // For keys that mean nothing here, and keys of which one value is understood.
  void ignore(std::string_view name) { use(name); }
  void expect_size(std::string_view name, int64_t value) {
    const auto found = size_if(name);
    if (found && *found != value) unsupported(name, fmt::format("{}, not {}", *found, value));
  }
  void expect_zero(std::string_view name) {
    const auto found = file_.integer(use(name));
    if (found && *found != 0) unsupported(name, fmt::format("{}, not 0", *found));
  }
  void refuse_unread() const {
    for (const std::string_view key : file_.keys()) {
      if (!key.starts_with(prefix_) || used_.contains(key) || ignored_.contains(key)) continue;
      fail(ErrorCode::kUnsupported,
           "{}: metadata key {} is not understood: the model might be computed wrongly; if it "
           "cannot matter, give --ignore-config {}",
           file_.name(), key, key);
    }
  }
  [[noreturn]] void unsupported(std::string_view name, const std::string& what) const {
    fail(ErrorCode::kUnsupported, "{}: metadata key {} is {}: not supported", file_.name(),
         full(name), what);
  }

 private:
  std::string full(std::string_view name) const { return prefix_ + std::string(name); }
  // The whole key; none that a file can have where it is to be ignored.
  std::string use(std::string_view name) {
    std::string key = *used_.insert(full(name)).first;
    return ignored_.contains(key) ? std::string() : key;
  }
  template <typename T>
  T require(const std::optional<T>& value, std::string_view name) const {
    if (!value) {
      fail(ErrorCode::kNotFound, "{}: metadata key {} is missing", file_.name(), full(name));
    }
    return *value;
  }
  static double shortest(double value) {
    const auto single = static_cast<float>(value);
    if (static_cast<double>(single) != value) return value;
    std::array<char, 64> text;
    const char* end = std::to_chars(text.data(), text.data() + text.size(), single).ptr;
    std::from_chars(text.data(), end, value);
    return value;
  }

  const GgufFile& file_;
  std::string prefix_;
  std::set<std::string, std::less<>> used_;
  std::set<std::string, std::less<>> ignored_;
};

namespace {

std::optional<int64_t> token_id(const GgufFile& file, std::string_view name) {
  const std::string key = fmt::format("tokenizer.ggml.{}_token_id", name);
  const auto id = file.integer(key);
  // Writers say "none" by -1 or its 32 bits; the tokenizer warns of it.
  const GgufTensor* table = file.find_tensor("token_embd.weight");
  const int64_t limit = table != nullptr ? table->shape[0] : std::numeric_limits<int32_t>::max();
  return id && *id >= 0 && *id < limit ? id : std::nullopt;
}

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

int64_t head_dim(GgufMetadata& metadata, int64_t hidden, int64_t n_heads) {
  const auto stored = metadata.size_if("attention.key_length");
  if (!stored && hidden % n_heads != 0) {
    metadata.unsupported("attention.head_count",
                         fmt::format("{}, which does not divide {}", n_heads, hidden));
  }
  const int64_t dim = stored.value_or(hidden / n_heads);
  metadata.expect_size("attention.value_length", dim);
  metadata.expect_size("rope.dimension_count", dim);
  return dim;
}

// null, or {"rope_type": "linear", "factor": f}; other kinds are refused.
Json rope_scaling(GgufMetadata& metadata) {
  const auto type = metadata.string_if("rope.scaling.type");
  auto factor = metadata.positive_if("rope.scaling.factor");
  if (!factor) factor = metadata.positive_if("rope.scale_linear");  // its name in old files
  metadata.ignore("rope.scaling.finetuned");
  metadata.ignore("rope.scaling.original_context_length");  // for types that are refused here
  if (type && *type != "none" && *type != "linear") {
    metadata.unsupported("rope.scaling.type", std::string(*type));
  }
  if (type == "none" || factor.value_or(1.0) == 1.0) return nullptr;
  return {{"rope_type", "linear"}, {"factor", *factor}};
}

// What every decoder has.
Json decoder_config(GgufMetadata& metadata, const char* model_type, const char* class_name) {
  const GgufFile& file = metadata.file();
  const int64_t hidden = metadata.size("embedding_length");
  const int64_t n_layers = metadata.size("block_count");
  const int64_t n_heads = metadata.size("attention.head_count");
  if (n_layers > static_cast<int64_t>(file.tensors().size())) {
    fail(ErrorCode::kCorrupt, "{}: {} layers, but only {} tensors", file.name(), n_layers,
         file.tensors().size());
  }
  Json config;
  config["architectures"] = {class_name};
  config["model_type"] = model_type;
  config["vocab_size"] = embedding(file, hidden).shape[0];
  config["hidden_size"] = hidden;
  config["intermediate_size"] = metadata.size("feed_forward_length");
  config["num_hidden_layers"] = n_layers;
  config["num_attention_heads"] = n_heads;
  config["num_key_value_heads"] = metadata.size_if("attention.head_count_kv").value_or(n_heads);
  config["head_dim"] = head_dim(metadata, hidden, n_heads);
  config["max_position_embeddings"] = metadata.size("context_length");
  config["rms_norm_eps"] = metadata.positive("attention.layer_norm_rms_epsilon");
  config["rope_theta"] = metadata.positive_if("rope.freq_base").value_or(10000.0);
  config["rope_scaling"] = rope_scaling(metadata);
  config["attention_bias"] = false;
  config["tie_word_embeddings"] = file.find_tensor("output.weight") == nullptr;
  if (const auto bos = token_id(file, "bos")) config["bos_token_id"] = *bos;
  if (const auto eos = token_id(file, "eos")) config["eos_token_id"] = *eos;
  metadata.ignore("vocab_size");  // the embedding's rows count
  metadata.ignore("tensor_data_layout");
  return config;
}

// --- llama: Llama 1 to 3, SmolLM2, Mistral ---

constexpr GgufTensorRule kLlamaTensors[] = {
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
    {"rope_freqs.weight", "", GgufTransform::kDrop},
    {"blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight"},
    {"blk.{}.attn_q.weight", "model.layers.{}.self_attn.q_proj.weight", GgufTransform::kUnpermuteQ},
    {"blk.{}.attn_k.weight", "model.layers.{}.self_attn.k_proj.weight", GgufTransform::kUnpermuteK},
    {"blk.{}.attn_v.weight", "model.layers.{}.self_attn.v_proj.weight"},
    {"blk.{}.attn_output.weight", "model.layers.{}.self_attn.o_proj.weight"},
    {"blk.{}.ffn_norm.weight", "model.layers.{}.post_attention_layernorm.weight"},
    {"blk.{}.ffn_gate.weight", "model.layers.{}.mlp.gate_proj.weight"},
    {"blk.{}.ffn_up.weight", "model.layers.{}.mlp.up_proj.weight"},
    {"blk.{}.ffn_down.weight", "model.layers.{}.mlp.down_proj.weight"},
    {"blk.{}.attn_q.bias", "model.layers.{}.self_attn.q_proj.bias", GgufTransform::kUnpermuteQ},
    {"blk.{}.attn_k.bias", "model.layers.{}.self_attn.k_proj.bias", GgufTransform::kUnpermuteK},
    {"blk.{}.attn_v.bias", "model.layers.{}.self_attn.v_proj.bias"},
    {"blk.{}.attn_output.bias", "model.layers.{}.self_attn.o_proj.bias"},
    {"blk.{}.ffn_gate.bias", "model.layers.{}.mlp.gate_proj.bias"},
    {"blk.{}.ffn_up.bias", "model.layers.{}.mlp.up_proj.bias"},
    {"blk.{}.ffn_down.bias", "model.layers.{}.mlp.down_proj.bias"},
};

struct Llama3Scaling {
  double factor;
  double low_freq_factor = 1;
  double high_freq_factor = 4;
  double original_context = 8192;
};

// What "llama3" scaling divides the frequency of a rotated pair by, from its wavelength.
double llama3_divisor(const Llama3Scaling& scaling, double wavelength) {
  const double turns = scaling.original_context / wavelength;  // within the original context
  if (turns > scaling.high_freq_factor) return 1;
  if (turns < scaling.low_freq_factor) return scaling.factor;
  const double blend =
      (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
  return 1 / ((1 - blend) / scaling.factor + blend);
}

// Converters store the divisors that Llama 3's scaling comes to, not its parameters. The largest
// divisor is the factor; the other parameters are those of every Llama 3 so far. Divisors that they
// do not reproduce are refused.
Json llama3_rope_scaling(const GgufFile& file, const GgufTensor& tensor, const Json& config) {
  const auto n_pairs = config["head_dim"].get<int64_t>() / 2;
  const GgmlTypeInfo& type = ggml_type_info(tensor.type);
  if (tensor.shape != Shape{n_pairs} || !type.dtype) {
    fail(ErrorCode::kCorrupt, "{}: rope_freqs.weight is {} {}; {} plain numbers were expected",
         file.name(), type.name, shape_string(tensor.shape), n_pairs);
  }
  std::vector<float> divisors(static_cast<size_t>(n_pairs));
  type.decode(file.tensor_bytes(tensor).data(), n_pairs, divisors.data());
  const Llama3Scaling scaling{*std::max_element(divisors.begin(), divisors.end())};
  const auto theta = config["rope_theta"].get<double>();
  for (int64_t i = 0; i < n_pairs; ++i) {
    const double pair = static_cast<double>(i) / static_cast<double>(n_pairs);
    const double wavelength = 2 * std::numbers::pi * std::pow(theta, pair);
    const double expected = llama3_divisor(scaling, wavelength);
    const double stored = divisors[static_cast<size_t>(i)];
    if (!(std::abs(stored - expected) <= 1e-3 * expected)) {
      fail(ErrorCode::kUnsupported,
           "{}: rope_freqs.weight is not the rope scaling of Llama 3 (pair {} is divided by {}, "
           "not {})",
           file.name(), i, stored, expected);
    }
  }
  return {{"rope_type", "llama3"},
          {"factor", scaling.factor},
          {"low_freq_factor", scaling.low_freq_factor},
          {"high_freq_factor", scaling.high_freq_factor},
          {"original_max_position_embeddings", static_cast<int64_t>(scaling.original_context)}};
}

Json llama_config(GgufMetadata& metadata) {
  Json config = decoder_config(metadata, "llama", "LlamaForCausalLM");
  config["hidden_act"] = "silu";
  // As Llama's classes have biases: in all four projections, in all three. Others are used too.
  const auto has = [&](const char* name) { return metadata.file().find_tensor(name) != nullptr; };
  config["attention_bias"] = has("blk.0.attn_q.bias") && has("blk.0.attn_output.bias");
  config["mlp_bias"] = has("blk.0.ffn_gate.bias") && has("blk.0.ffn_down.bias");
  if (const GgufTensor* divisors = metadata.file().find_tensor("rope_freqs.weight")) {
    if (!config["rope_scaling"].is_null()) {
      metadata.unsupported("rope.scaling.type", "linear while there is a rope_freqs.weight too");
    }
    config["rope_scaling"] = llama3_rope_scaling(metadata.file(), *divisors, config);
  }
  metadata.expect_zero("expert_count");
  metadata.expect_zero("expert_used_count");
  return config;
}

// --- qwen2: Qwen2, Qwen2.5 ---

constexpr GgufTensorRule kQwen2Tensors[] = {
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
    {"blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight"},
    {"blk.{}.attn_q.weight", "model.layers.{}.self_attn.q_proj.weight"},
    {"blk.{}.attn_q.bias", "model.layers.{}.self_attn.q_proj.bias"},
    {"blk.{}.attn_k.weight", "model.layers.{}.self_attn.k_proj.weight"},
    {"blk.{}.attn_k.bias", "model.layers.{}.self_attn.k_proj.bias"},
    {"blk.{}.attn_v.weight", "model.layers.{}.self_attn.v_proj.weight"},
    {"blk.{}.attn_v.bias", "model.layers.{}.self_attn.v_proj.bias"},
    {"blk.{}.attn_output.weight", "model.layers.{}.self_attn.o_proj.weight"},
    {"blk.{}.ffn_norm.weight", "model.layers.{}.post_attention_layernorm.weight"},
    {"blk.{}.ffn_gate.weight", "model.layers.{}.mlp.gate_proj.weight"},
    {"blk.{}.ffn_up.weight", "model.layers.{}.mlp.up_proj.weight"},
    {"blk.{}.ffn_down.weight", "model.layers.{}.mlp.down_proj.weight"},
};

// Files do not say whether layers slide; no published model's do.
Json qwen2_config(GgufMetadata& metadata) {
  Json config = decoder_config(metadata, "qwen2", "Qwen2ForCausalLM");
  config.erase("attention_bias");
  config["hidden_act"] = "silu";
  config["use_sliding_window"] = false;
  return config;
}

// --- gemma3: Gemma 3 text models ---

constexpr GgufTensorRule kGemma3Tensors[] = {
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight", GgufTransform::kMinusOne},
    {"output.weight", "lm_head.weight"},
    {"blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight", GgufTransform::kMinusOne},
    {"blk.{}.attn_q.weight", "model.layers.{}.self_attn.q_proj.weight"},
    {"blk.{}.attn_k.weight", "model.layers.{}.self_attn.k_proj.weight"},
    {"blk.{}.attn_v.weight", "model.layers.{}.self_attn.v_proj.weight"},
    {"blk.{}.attn_output.weight", "model.layers.{}.self_attn.o_proj.weight"},
    {"blk.{}.attn_q_norm.weight", "model.layers.{}.self_attn.q_norm.weight",
     GgufTransform::kMinusOne},
    {"blk.{}.attn_k_norm.weight", "model.layers.{}.self_attn.k_norm.weight",
     GgufTransform::kMinusOne},
    {"blk.{}.post_attention_norm.weight", "model.layers.{}.post_attention_layernorm.weight",
     GgufTransform::kMinusOne},
    {"blk.{}.ffn_norm.weight", "model.layers.{}.pre_feedforward_layernorm.weight",
     GgufTransform::kMinusOne},
    {"blk.{}.post_ffw_norm.weight", "model.layers.{}.post_feedforward_layernorm.weight",
     GgufTransform::kMinusOne},
    {"blk.{}.ffn_gate.weight", "model.layers.{}.mlp.gate_proj.weight"},
    {"blk.{}.ffn_up.weight", "model.layers.{}.mlp.up_proj.weight"},
    {"blk.{}.ffn_down.weight", "model.layers.{}.mlp.down_proj.weight"},
};

// "sliding_attention" and "full_attention" by layer. The file says which layers slide by a period
// (the last layer of each is full), or one by one, or not at all: then the period is the default.
Json layer_types(GgufMetadata& metadata, int64_t n_layers, int64_t default_period) {
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

Json optional_number(const std::optional<double>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json gemma3_config(GgufMetadata& metadata) {
  Json config = decoder_config(metadata, "gemma3_text", "Gemma3ForCausalLM");
  const auto n_layers = config["num_hidden_layers"].get<int64_t>();
  config["hidden_activation"] = "gelu_pytorch_tanh";
  config["sliding_window"] = metadata.size("attention.sliding_window");
  config["layer_types"] = layer_types(metadata, n_layers, 6);
  config["rope_local_base_freq"] = metadata.positive_if("rope.freq_base_swa").value_or(10000.0);
  // Not in the metadata. The 27B model alone, the one of 62 layers, divides by something else than
  // its head size.
  const auto per_head =
      config["hidden_size"].get<int64_t>() / config["num_attention_heads"].get<int64_t>();
  config["query_pre_attn_scalar"] = n_layers == 62 ? per_head : config["head_dim"].get<int64_t>();
  config["attn_logit_softcapping"] =
      optional_number(metadata.positive_if("attn_logit_softcapping"));
  config["final_logit_softcapping"] =
      optional_number(metadata.positive_if("final_logit_softcapping"));
  return config;
}

// Tokens that end a turn in the chat formats of these architectures.
constexpr std::string_view kTurnEnds[] = {"<|im_end|>", "<|eot_id|>", "<end_of_turn>"};

// --- The architectures that are read ---

constexpr GgufArch kArchs[] = {
    {"llama", kLlamaTensors, llama_config},
    {"qwen2", kQwen2Tensors, qwen2_config},
    {"gemma3", kGemma3Tensors, gemma3_config},
};

}  // namespace

const GgufArch& gguf_arch(const GgufFile& file) {
  const auto name = file.string("general.architecture");
  if (!name) {
    fail(ErrorCode::kCorrupt, "{}: metadata key general.architecture is missing", file.name());
  }
  std::string known;
  for (const GgufArch& arch : kArchs) {
    if (arch.name == *name) return arch;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", arch.name);
  }
  fail(ErrorCode::kUnsupported, "{}: GGUF architecture {} is not supported; supported are {}",
       file.name(), *name, known);
}

Json gguf_config(const GgufFile& file, std::span<const std::string> ignored) {
  const GgufArch& arch = gguf_arch(file);
  GgufMetadata metadata(file, arch.name, ignored);
  Json config = arch.config(metadata);
  metadata.refuse_unread();
  return config;
}

Json gguf_generation_config(const GgufFile& file) {
  Json config = Json::object();
  if (const auto bos = token_id(file, "bos")) config["bos_token_id"] = *bos;
  std::vector<int64_t> ends;
  const auto add = [&](int64_t id) {
    if (std::find(ends.begin(), ends.end(), id) == ends.end()) ends.push_back(id);
  };
  for (const char* name : {"eos", "eot", "eom"}) {
    if (const auto id = token_id(file, name)) add(*id);
  }
  // Many files name only the end of a document, not the end of a turn.
  const auto tokens = file.strings("tokenizer.ggml.tokens");
  for (size_t id = 0; tokens && id < tokens->size(); ++id) {
    const auto token = (*tokens)[id];
    if (std::find(std::begin(kTurnEnds), std::end(kTurnEnds), token) != std::end(kTurnEnds)) {
      add(static_cast<int64_t>(id));
    }
  }
  if (!ends.empty()) config["eos_token_id"] = ends;
  return config;
}

}  // namespace tq
