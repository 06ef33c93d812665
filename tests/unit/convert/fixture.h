// What the tests of src/convert share: a small source checkpoint with every class of tensor, and
// the state of a folder as one comparable value.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "convert/convert.h"
#include "io/checkpoint.h"
#include "support/safetensors_builder.h"
#include "support/shapes_only.h"
#include "support/temp_dir.h"

namespace tq::fixtures {

// Deterministic values of about unit scale, different for every name.
inline std::vector<float> values_for(const std::string& name, int64_t n) {
  uint32_t state = 2166136261u;
  for (const char c : name) state = (state ^ static_cast<uint8_t>(c)) * 16777619u;
  std::vector<float> values(static_cast<size_t>(n));
  for (float& value : values) {
    float sum = -2.0f;  // of four uniform numbers: near enough to a Gaussian
    for (int i = 0; i < 4; ++i) {
      state = state * 1664525u + 1013904223u;
      sum += static_cast<float>(state >> 8) / 16777216.0f;
    }
    value = sum;
  }
  return values;
}

struct SourceTensor {
  std::string name;
  Shape shape;
  DType dtype = DType::kBF16;
};

inline std::vector<SourceTensor> tiny_model() {
  const std::string layer = "model.layers.0.";
  return {{"model.embed_tokens.weight", {40, 128}},
          {layer + "input_layernorm.weight", {128}},
          {layer + "self_attn.q_proj.weight", {128, 128}},
          {layer + "self_attn.k_proj.weight", {64, 128}, DType::kF32},
          {layer + "self_attn.q_proj.bias", {128}},
          {layer + "mlp.gate.weight", {4, 128}},
          {layer + "mlp.up_proj.weight", {192, 128}, DType::kF16},
          {layer + "mlp.down_proj.weight", {128, 192}},
          {layer + "mlp.experts.gate_up_proj", {4, 32, 64}},
          {"model.norm.weight", {128}},
          {"lm_head.weight", {40, 128}}};
}

inline SafetensorsBuilder build(const std::vector<SourceTensor>& tensors) {
  SafetensorsBuilder builder;
  for (const SourceTensor& tensor : tensors) {
    int64_t n = 1;
    for (const int64_t dim : tensor.shape) n *= dim;
    builder.add_floats(tensor.name, tensor.shape, values_for(tensor.name, n), tensor.dtype);
  }
  return builder;
}

// A Hugging Face folder `name` in the temporary folder.
inline fs::path write_source(const TempDir& dir, const SafetensorsBuilder& tensors,
                             const std::string& name = "source") {
  const fs::path folder = dir / name;
  fs::create_directories(folder);
  tensors.write(folder / "model.safetensors");
  write_bytes(folder / "config.json", R"({"model_type": "llama", "hidden_size": 128})");
  write_bytes(folder / "tokenizer.json", R"({"model": {"type": "BPE"}})");
  return folder;
}

// Relative path -> content of every file below the folder.
inline std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) {
      files[fs::relative(entry.path(), folder)] = read_bytes(entry.path());
    }
  }
  return files;
}

// To tq3, in a way that takes little time.
inline ConvertOptions quick_options(fs::path destination) {
  ConvertOptions options;
  options.destination = std::move(destination);
  options.plan.format = "tq3";
  options.effort = Effort::kFast;
  options.n_threads = 1;
  return options;
}

inline ConvertReport convert_folder(const fs::path& source, const ConvertOptions& options) {
  return convert(*open_checkpoint(source), options);
}

// The error of a conversion that must fail.
inline Error conversion_error(const fs::path& source, const ConvertOptions& options) {
  try {
    convert_folder(source, options);
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorCode::kInternal, "the conversion succeeded");
}

}  // namespace tq::fixtures
