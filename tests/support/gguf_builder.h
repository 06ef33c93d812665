// GgufBuilder: writes small GGUF files for tests, well formed unless a test asks otherwise (raw
// values, forced offsets and counts). One per file; not thread safe.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "io/gguf/gguf_file.h"
#include "support/temp_dir.h"

namespace tq::fixtures {

class GgufBuilder {
 public:
  // Value types of the file format.
  enum Type : uint32_t {
    kU8 = 0,
    kI8,
    kU16,
    kI16,
    kU32,
    kI32,
    kF32,
    kBool,
    kString,
    kArray,
    kU64,
    kI64,
    kF64,
  };

  GgufBuilder& string(std::string_view key, std::string_view value) {
    return raw(key, kString, encoded(value));
  }
  GgufBuilder& u32(std::string_view key, uint32_t value) { return raw(key, kU32, bytes_of(value)); }
  GgufBuilder& f32(std::string_view key, float value) { return raw(key, kF32, bytes_of(value)); }
  GgufBuilder& boolean(std::string_view key, bool value) {
    return raw(key, kBool, bytes_of(static_cast<uint8_t>(value)));
  }
  GgufBuilder& strings(std::string_view key, const std::vector<std::string>& values) {
    std::string body;
    for (const std::string& value : values) body += encoded(value);
    return array(key, kString, values.size(), body);
  }
  GgufBuilder& i32s(std::string_view key, const std::vector<int32_t>& values) {
    return array(key, kI32, values.size(), bytes_of_all(values));
  }
  GgufBuilder& f32s(std::string_view key, const std::vector<float>& values) {
    return array(key, kF32, values.size(), bytes_of_all(values));
  }
  // An array with its body as given; the count need not be true.
  GgufBuilder& array(std::string_view key, uint32_t element_type, uint64_t count,
                     const std::string& body) {
    return raw(key, kArray, bytes_of(element_type) + bytes_of(count) + body);
  }
  // A value with its bytes as given. A key set twice keeps its last value, unless `repeat`.
  GgufBuilder& raw(std::string_view key, uint32_t type, const std::string& value,
                   bool repeat = false) {
    std::string entry = encoded(key) + bytes_of(type) + value;
    for (auto& [name, old] : values_) {
      if (name == key && !repeat) {
        old = std::move(entry);
        return *this;
      }
    }
    values_.emplace_back(key, std::move(entry));
    return *this;
  }
  GgufBuilder& erase(std::string_view key) {
    std::erase_if(values_, [&](const auto& value) { return value.first == key; });
    return *this;
  }

  // Shape outermost first, as everywhere in the program.
  GgufBuilder& tensor(std::string_view name, uint32_t type, const Shape& shape, std::string data) {
    tensors_.push_back({std::string(name), type, shape, std::move(data), std::nullopt});
    return *this;
  }
  GgufBuilder& tensor(std::string_view name, const Shape& shape, const std::vector<float>& values) {
    return tensor(name, static_cast<uint32_t>(GgmlType::kF32), shape, bytes_of_all(values));
  }
  // Deterministic small values, different for every name: for tests that only need a tensor there.
  GgufBuilder& tensor(std::string_view name, const Shape& shape) {
    int64_t n = 1;
    for (const int64_t dim : shape) n *= dim;
    uint32_t state = 2166136261u;
    for (const char c : name) state = (state ^ static_cast<uint8_t>(c)) * 16777619u;
    std::vector<float> values(static_cast<size_t>(n));
    for (float& value : values) {
      state = state * 1664525u + 1013904223u;
      value = (static_cast<float>(state >> 8) / 16777216.0f - 0.5f) * 0.25f;
    }
    return tensor(name, shape, values);
  }
  GgufBuilder& erase_tensor(std::string_view name) {
    std::erase_if(tensors_, [&](const Tensor& tensor) { return tensor.name == name; });
    return *this;
  }
  // Places the tensor added last at this offset of the data section, whatever lies there.
  GgufBuilder& at_offset(uint64_t offset) {
    tensors_.back().forced_offset = offset;
    return *this;
  }
  GgufBuilder& version(uint32_t value) {
    version_ = value;
    return *this;
  }
  // Counts to declare instead of the true ones.
  GgufBuilder& declare(std::optional<uint64_t> n_tensors, std::optional<uint64_t> n_values) {
    n_tensors_ = n_tensors;
    n_values_ = n_values;
    return *this;
  }
  // Sets general.alignment too.
  GgufBuilder& alignment(uint32_t value) {
    alignment_ = value;
    return u32("general.alignment", value);
  }

  std::string build() const {
    std::string out = "GGUF" + bytes_of(version_);
    out += bytes_of(n_tensors_.value_or(tensors_.size()));
    out += bytes_of(n_values_.value_or(values_.size()));
    for (const auto& value : values_) out += value.second;
    std::string data;
    for (const Tensor& tensor : tensors_) {
      out += encoded(tensor.name) + bytes_of(static_cast<uint32_t>(tensor.shape.size()));
      for (size_t i = tensor.shape.size(); i-- > 0;) out += bytes_of(tensor.shape[i]);
      out += bytes_of(tensor.type) + bytes_of(tensor.forced_offset.value_or(data.size()));
      if (!tensor.forced_offset) pad(data += tensor.data);
    }
    if (!tensors_.empty()) pad(out);
    return out + data;
  }
  void write(const fs::path& path) const { write_bytes(path, build()); }

  template <typename T>
  static std::string bytes_of(T value) {
    std::string out(sizeof(T), '\0');
    std::memcpy(out.data(), &value, sizeof(T));
    return out;
  }
  template <typename T>
  static std::string bytes_of_all(const std::vector<T>& values) {
    std::string out(values.size() * sizeof(T), '\0');
    if (!values.empty()) std::memcpy(out.data(), values.data(), out.size());
    return out;
  }
  static std::string encoded(std::string_view text) {
    return bytes_of(static_cast<uint64_t>(text.size())) + std::string(text);
  }

 private:
  struct Tensor {
    std::string name;
    uint32_t type;
    Shape shape;
    std::string data;
    std::optional<uint64_t> forced_offset;
  };
  void pad(std::string& bytes) const {
    bytes.resize((bytes.size() + alignment_ - 1) / alignment_ * alignment_, '\0');
  }

  uint32_t version_ = 3;
  uint32_t alignment_ = 32;
  std::optional<uint64_t> n_tensors_, n_values_;
  std::vector<std::pair<std::string, std::string>> values_;
  std::vector<Tensor> tensors_;
};

// Dimensions of the tiny models below.
struct TinyGguf {
  int64_t n_layers = 2;
  int64_t hidden = 64;
  int64_t ffn = 96;
  int64_t n_heads = 4;
  int64_t n_kv_heads = 2;
  int64_t head_dim = 16;
  int64_t vocab = 40;
  bool tied = true;
};

// A complete model of arch "llama", "qwen2" or "gemma3" in f32, without a tokenizer.
inline GgufBuilder tiny_gguf(const std::string& arch, const TinyGguf& size = {}) {
  const bool gemma = arch == "gemma3";
  const auto key = [&](const char* name) { return arch + "." + name; };
  GgufBuilder out;
  out.string("general.architecture", arch);
  out.u32(key("block_count"), static_cast<uint32_t>(size.n_layers));
  out.u32(key("context_length"), 128);
  out.u32(key("embedding_length"), static_cast<uint32_t>(size.hidden));
  out.u32(key("feed_forward_length"), static_cast<uint32_t>(size.ffn));
  out.u32(key("attention.head_count"), static_cast<uint32_t>(size.n_heads));
  out.u32(key("attention.head_count_kv"), static_cast<uint32_t>(size.n_kv_heads));
  out.u32(key("attention.key_length"), static_cast<uint32_t>(size.head_dim));
  out.u32(key("attention.value_length"), static_cast<uint32_t>(size.head_dim));
  out.f32(key("attention.layer_norm_rms_epsilon"), 1e-5f);
  out.f32(key("rope.freq_base"), 100000.0f);
  if (gemma) out.u32(key("attention.sliding_window"), 8);
  out.tensor("token_embd.weight", {size.vocab, size.hidden});
  out.tensor("output_norm.weight", {size.hidden});
  if (!size.tied) out.tensor("output.weight", {size.vocab, size.hidden});
  const int64_t q_rows = size.n_heads * size.head_dim;
  const int64_t kv_rows = size.n_kv_heads * size.head_dim;
  for (int64_t i = 0; i < size.n_layers; ++i) {
    const std::string layer = "blk." + std::to_string(i) + ".";
    out.tensor(layer + "attn_norm.weight", {size.hidden});
    out.tensor(layer + "attn_q.weight", {q_rows, size.hidden});
    out.tensor(layer + "attn_k.weight", {kv_rows, size.hidden});
    out.tensor(layer + "attn_v.weight", {kv_rows, size.hidden});
    out.tensor(layer + "attn_output.weight", {size.hidden, q_rows});
    if (arch == "qwen2") {
      out.tensor(layer + "attn_q.bias", {q_rows}).tensor(layer + "attn_k.bias", {kv_rows});
      out.tensor(layer + "attn_v.bias", {kv_rows});
    }
    if (gemma) {
      out.tensor(layer + "attn_q_norm.weight", {size.head_dim});
      out.tensor(layer + "attn_k_norm.weight", {size.head_dim});
      out.tensor(layer + "post_attention_norm.weight", {size.hidden});
      out.tensor(layer + "post_ffw_norm.weight", {size.hidden});
    }
    out.tensor(layer + "ffn_norm.weight", {size.hidden});
    out.tensor(layer + "ffn_gate.weight", {size.ffn, size.hidden});
    out.tensor(layer + "ffn_up.weight", {size.ffn, size.hidden});
    out.tensor(layer + "ffn_down.weight", {size.hidden, size.ffn});
  }
  return out;
}

}  // namespace tq::fixtures
