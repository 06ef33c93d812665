#include "io/synth/synth_checkpoint.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/ascii.h"
#include "base/check.h"
#include "io/synth/synth_tokenizer.h"

namespace tq {
namespace {

constexpr std::string_view kPrefix = "synth:";
constexpr const char* kTokenizerFile = "tokenizer.json";
constexpr const char* kTokenizerConfigFile = "tokenizer_config.json";

class SynthCheckpoint final : public Checkpoint {
 public:
  explicit SynthCheckpoint(SynthModel model)
      : Checkpoint(CheckpointKind::kSynthetic, std::string(kPrefix) + model.name) {
    config_ = std::move(model.config);
    std::vector<TensorEntry> entries;
    for (SynthTensor& tensor : model.tensors) {
      sources_.push_back({synth_key(model.name, tensor.name), tensor.distribution});
      entries.push_back(make_entry(std::move(tensor)));
    }
    set_tensors(std::move(entries));
  }

  std::vector<std::string> text_files() const override {
    return {kTokenizerFile, kTokenizerConfigFile};
  }
  std::optional<std::string> text_file(std::string_view name) const override {
    if (name == kTokenizerFile) return synth_tokenizer_json();
    if (name == kTokenizerConfigFile) return synth_tokenizer_config_json();
    return std::nullopt;
  }

  void read_rows(const TensorEntry& tensor, int64_t row_begin, int64_t n_rows,
                 float* out) const override {
    TQ_CHECK(row_begin >= 0 && n_rows >= 0 && row_begin <= tensor.n_rows() - n_rows,
             "rows {} + {} of {}, which has {}", row_begin, n_rows, tensor.name, tensor.n_rows());
    const Source& source = sources_.at(static_cast<size_t>(tensor.index));
    const auto in = static_cast<size_t>(tensor.in());
    for (int64_t i = 0; i < n_rows; ++i) {
      synth_row(source.key, row_begin + i, source.distribution, {out, in});
      out += in;
    }
  }
  std::optional<WeightView> view(const TensorEntry& /*tensor*/) const override { return {}; }
  std::span<const uint8_t> raw(const TensorEntry& tensor) const override {
    TQ_CHECK(false, "{} has no bytes", tensor.name);
    return {};
  }
  void drop_rows(const TensorEntry& /*tensor*/, int64_t /*row_begin*/,
                 int64_t /*n_rows*/) const override {}
  std::vector<fs::path> files() const override { return {}; }

 private:
  struct Source {
    uint64_t key;
    SynthDistribution distribution;
  };

  // Without a dtype, which would promise raw(): like GGUF's permuted rows, plain values that have
  // to be read.
  static TensorEntry make_entry(SynthTensor tensor) {
    TensorEntry entry;
    entry.name = std::move(tensor.name);
    entry.shape = std::move(tensor.shape);
    const DTypeInfo& info = dtype_info(tensor.dtype);
    entry.storage = lower_case(info.name);
    entry.stored_bytes = entry.n_elements() * info.bytes;
    return entry;
  }

  std::vector<Source> sources_;  // parallel to tensors()
};

}  // namespace

std::optional<std::string_view> synth_model_name(const fs::path& path) {
  const std::string_view text = path.native();
  if (!text.starts_with(kPrefix)) return std::nullopt;
  return text.substr(kPrefix.size());
}

std::unique_ptr<Checkpoint> open_synth_checkpoint(std::string_view name) {
  return open_synth_checkpoint(make_synth_model(name));
}

std::unique_ptr<Checkpoint> open_synth_checkpoint(SynthModel model) {
  return std::make_unique<SynthCheckpoint>(std::move(model));
}

}  // namespace tq
