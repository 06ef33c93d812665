// ShapesOnly: a checkpoint of names and shapes, for what is decided by these.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/checkpoint.h"

namespace tq::fixtures {

// A checkpoint of names and shapes without data.
class ShapesOnly : public Checkpoint {
 public:
  explicit ShapesOnly(std::vector<TensorEntry> tensors)
      : Checkpoint(CheckpointKind::kHuggingFace, "fake") {
    set_tensors(std::move(tensors));
  }
  std::vector<std::string> text_files() const override { return {}; }
  std::optional<std::string> text_file(std::string_view) const override { return std::nullopt; }
  void read_rows(const TensorEntry&, int64_t, int64_t, float*) const override {}
  std::optional<WeightView> view(const TensorEntry&) const override { return std::nullopt; }
  std::span<const uint8_t> raw(const TensorEntry&) const override { return {}; }
  void drop_rows(const TensorEntry&, int64_t, int64_t) const override {}
  std::vector<fs::path> files() const override { return {}; }
};

inline TensorEntry shape_entry(const std::string& name, const Shape& shape,
                               std::optional<DType> dtype = DType::kBF16,
                               const std::string& storage = "bf16") {
  TensorEntry tensor;
  tensor.name = name;
  tensor.shape = shape;
  tensor.dtype = dtype;
  tensor.storage = storage;
  return tensor;
}

}  // namespace tq::fixtures
