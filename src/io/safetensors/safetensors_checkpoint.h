// A Hugging Face checkpoint in safetensors files (kHuggingFace), and what the compressed kinds that
// live in such folders share: the mapped files, config.json, the text files and the tensors that
// are stored plainly. Immutable after opening, thread safe.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/checkpoint.h"
#include "io/safetensors/safetensors_file.h"

namespace tq {

class SafetensorsCheckpoint : public Checkpoint {
 public:
  std::vector<std::string> text_files() const override;
  std::optional<std::string> text_file(std::string_view name) const override;
  // kUnsupported, naming the dtype, for tensors that are no F64, F32, F16 or BF16.
  void read_rows(const TensorEntry& tensor, int64_t row_begin, int64_t n_rows,
                 float* out) const override;
  std::optional<WeightView> view(const TensorEntry& tensor) const override;
  std::span<const uint8_t> raw(const TensorEntry& tensor) const override;
  void read_raw(const TensorEntry& tensor, int64_t offset, std::span<uint8_t> out) const override;
  void drop_rows(const TensorEntry& tensor, int64_t row_begin, int64_t n_rows) const override;
  std::vector<fs::path> files() const override { return set_.files(); }

 protected:
  // path: a folder or a .safetensors file (which has neither config nor text files).
  SafetensorsCheckpoint(CheckpointKind kind, const fs::path& path, const OpenOptions& options);

  const SafetensorsSet& set() const { return set_; }
  // Where the tensor's bytes lie; for compressed tensors the code plane.
  const StoredTensor& stored(const TensorEntry& tensor) const {
    return *stored_[static_cast<size_t>(tensor.index)];
  }
  // The entry of a tensor that is stored as plain elements.
  static TensorEntry plain_entry(const StoredTensor& tensor);
  // Fixes tensors(); stored is parallel to it.
  void set_contents(std::vector<TensorEntry> entries, std::vector<const StoredTensor*> stored);
  // TQ_CHECKs a row range that a caller passed.
  static void check_rows(const TensorEntry& tensor, int64_t row_begin, int64_t n_rows);
  // drop() for the bytes of some of n_rows equal rows of a stored plane.
  static void drop_plane_rows(const StoredTensor& plane, const TensorEntry& tensor,
                              int64_t row_begin, int64_t n_rows);

 private:
  fs::path folder_;  // empty for a lone file
  SafetensorsSet set_;
  std::vector<const StoredTensor*> stored_;
};

// Throws as SafetensorsSet does, and kUnsupported for checkpoints whose tensors are not what they
// seem: a foreign quantization_config, packed tensors without their description. With
// options.inspect these become the problem(), if `problem` is not one already.
std::unique_ptr<Checkpoint> open_hf_checkpoint(const fs::path& path,
                                               const OpenOptions& options = {},
                                               std::optional<Error> problem = std::nullopt);

}  // namespace tq
