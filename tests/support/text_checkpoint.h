// TextCheckpoint: a checkpoint without tensors, for what is read of its small files.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/checkpoint.h"

namespace tq::fixtures {

// A checkpoint of small text files only.
class TextCheckpoint : public Checkpoint {
 public:
  explicit TextCheckpoint(std::map<std::string, std::string> files, Json config = Json::object())
      : Checkpoint(CheckpointKind::kHuggingFace, "nowhere"), files_(std::move(files)) {
    config_ = std::move(config);
  }
  std::vector<std::string> text_files() const override {
    std::vector<std::string> names;
    for (const auto& [name, text] : files_) names.push_back(name);
    return names;
  }
  std::optional<std::string> text_file(std::string_view name) const override {
    const auto found = files_.find(std::string(name));
    if (found == files_.end()) return std::nullopt;
    return found->second;
  }
  void read_rows(const TensorEntry&, int64_t, int64_t, float*) const override {}
  std::optional<WeightView> view(const TensorEntry&) const override { return std::nullopt; }
  std::span<const uint8_t> raw(const TensorEntry&) const override { return {}; }
  void drop_rows(const TensorEntry&, int64_t, int64_t) const override {}
  std::vector<fs::path> files() const override { return {}; }

 private:
  std::map<std::string, std::string> files_;
};

}  // namespace tq::fixtures
