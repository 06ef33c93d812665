// Checkpoint: a model on disk, seen as a Hugging Face checkpoint whatever the files are: HF names
// and shapes, a config.json, tokenizer files, and tensors that can be read as fp32 rows or, where
// the stored bytes are directly computable, viewed in place. Knows no model. Immutable after
// opening: all methods are const and thread safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "format/traits.h"
#include "tensor/dtype.h"

namespace tq {

enum class CheckpointKind : uint8_t {
  kHuggingFace,        // safetensors folder, or a lone .safetensors file
  kGguf,               // one GGUF file, presented with HF names
  kNative,             // ours: docs/formats.md
  kReference,          // turboquant-vllm tq3_native
  kAwq,                // integers of 4 bits as tq convert --layout awq writes them
  kCompressedTensors,  // integers as --layout compressed-tensors writes them
  kSynthetic,          // random weights of a published shape, made as they are read
};
std::string_view checkpoint_kind_name(CheckpointKind kind);

struct TensorEntry {
  std::string name;            // HF name: "model.layers.0.self_attn.q_proj.weight"
  Shape shape;                 // logical, never padded: [n], [rows, in] or [experts, rows, in]
  std::string storage;         // how it lies on disk: "bf16", "q4_1", "tq3"
  std::optional<DType> dtype;  // set when the stored bytes are plain elements (raw() works)
  int64_t stored_bytes = 0;    // all its planes together
  int64_t index = 0;           // position in Checkpoint::tensors()

  int64_t in() const { return shape.empty() ? 1 : shape.back(); }
  // Rows over all leading dimensions: 1 for a vector, experts * rows for a stack.
  int64_t n_rows() const;
  int64_t n_elements() const { return n_rows() * in(); }
  // Block-quantised storage has no dtype.
  bool is_float() const { return !dtype || dtype_info(*dtype).is_float; }
};

struct OpenOptions {
  // Fields of config.json (of GGUF: metadata keys, whole) that are taken as if they were not there:
  // "rope_scaling.factor" for a nested one; text_config is looked into as well.
  std::vector<std::string> ignore_config;
  // For looking only: what can be read but not computed with is opened all the same, as it is
  // stored, and Checkpoint::problem() says why.
  bool inspect = false;
};

class Checkpoint {
 public:
  virtual ~Checkpoint() = default;

  CheckpointKind kind() const { return kind_; }
  const fs::path& path() const { return path_; }
  // What messages call one of its small files: "FOLDER/config.json", "model.gguf: config.json".
  std::string name_of(std::string_view file) const;
  // config.json, or what stands for it; an empty object when the folder has none.
  const Json& config() const { return config_; }
  // Why nothing can be run from these files though they can be read, and what to name instead ("a
  // LoRA adapter, ..."); empty for a model.
  const std::string& not_a_model() const { return not_a_model_; }
  // The name of the checkpoint that this one was compressed from, fit to be shown; empty if
  // unknown.
  const std::string& made_from() const { return made_from_; }
  // Why this can be looked at but not run or converted; only with OpenOptions::inspect.
  const std::optional<Error>& problem() const { return problem_; }
  // In the order of the files (sorted by shard, then offset).
  std::span<const TensorEntry> tensors() const { return tensors_; }
  // Null when there is no such tensor.
  const TensorEntry* find(std::string_view name) const;
  // The output head where it is a copy of the embedding table and need not be kept, else null.
  // config() says whether the head is tied as the tensors have it, whatever config.json says.
  const TensorEntry* head_copy() const {
    return head_copy_ < 0 ? nullptr : &tensors_[at(head_copy_)];
  }

  // Small side files by HF name: tokenizer.json, tokenizer_config.json, chat_template.jinja,
  // generation_config.json, ... GGUF metadata is translated into the same files.
  virtual std::vector<std::string> text_files() const = 0;
  virtual std::optional<std::string> text_file(std::string_view name) const = 0;
  // Why there is no tokenizer.json though the file has a tokenizer: one that cannot be translated.
  virtual std::optional<Error> tokenizer_problem() const { return std::nullopt; }

  // Rows [row_begin, row_begin + n_rows) as fp32 [n_rows, in] in the plain basis.
  virtual void read_rows(const TensorEntry& tensor, int64_t row_begin, int64_t n_rows,
                         float* out) const = 0;
  // The tensor as a weight that kernels read in place, or nothing when it must be materialised
  // (GGUF block formats, permuted rows, dtypes that no format stores). Valid while *this lives.
  virtual std::optional<WeightView> view(const TensorEntry& tensor) const = 0;
  // The stored bytes of a tensor that has a dtype. Valid while *this lives.
  virtual std::span<const uint8_t> raw(const TensorEntry& tensor) const = 0;
  // Copies some of these bytes from `offset` on; where they lie in a file, without mapping them.
  virtual void read_raw(const TensorEntry& tensor, int64_t offset, std::span<uint8_t> out) const;
  // The same for a plane of a tensor that view() shows as packed: 0 its codes, 1 its gains as f16.
  virtual void read_plane(const TensorEntry& tensor, size_t plane, int64_t offset,
                          std::span<uint8_t> out) const;
  // The stored tensors that make up a tensor, where they are neither its raw() nor what view()
  // shows: names and bytes. Valid while *this lives.
  struct StoredPlane {
    std::string name;
    std::span<const uint8_t> bytes;
  };
  virtual std::vector<StoredPlane> stored_planes(const TensorEntry& /*tensor*/) const { return {}; }
  // Advice that these rows will not be read again soon: keeps streaming within a bounded resident
  // set.
  virtual void drop_rows(const TensorEntry& tensor, int64_t row_begin, int64_t n_rows) const = 0;

  // The small files that are not as tq convert wrote them, each with what is different; nothing
  // where that is not known. Reads them all. Throws kIo.
  virtual std::vector<std::string> edited_files() const { return {}; }

  // The files the tensors live in (identity, size report, "DST must not equal SRC").
  virtual std::vector<fs::path> files() const = 0;

 protected:
  Checkpoint(CheckpointKind kind, fs::path path) : kind_(kind), path_(std::move(path)) {}
  // Sets tensors_, the index for find() and TensorEntry::index; refuses duplicate names (kCorrupt).
  void set_tensors(std::vector<TensorEntry> tensors);

  // Compares the head with the embedding table, where there are both, and makes config_ say whether
  // they are tied. To be called once the tensors can be read.
  void settle_head();

  CheckpointKind kind_;
  fs::path path_;
  Json config_ = Json::object();
  std::string not_a_model_;
  std::string made_from_;
  std::optional<Error> problem_;

 private:
  friend std::unique_ptr<Checkpoint> open_checkpoint(const fs::path& path,
                                                     const OpenOptions& options);
  static size_t at(int64_t index) { return static_cast<size_t>(index); }

  std::vector<TensorEntry> tensors_;
  int64_t head_copy_ = -1;
  std::vector<int64_t> by_name_;  // indices sorted by name
};

// Throws the error of what was read from a checkpoint's small files, with where they lie: readers
// that get a text and not a path call it "config.json".
[[noreturn]] void rethrow_located(const Error& error, const Checkpoint& checkpoint);

// Throws kUnsupported with the path when the checkpoint is not_a_model().
void refuse_not_a_model(const Checkpoint& checkpoint);

// Where a model lies that is named by something else than a path, "org/name" of a hub: asked for
// what is neither a file nor a folder. Nothing for what it knows no model by. Throws for one that
// it knows and cannot give.
using CheckpointFinder = std::function<std::optional<fs::path>(const fs::path& name)>;

// For open_checkpoint() from now on; to be set before other threads open any.
void set_checkpoint_finder(CheckpointFinder finder);

// Opens a folder (HF, native, reference) or a file (.gguf, .safetensors), telling them apart by
// content, or the synthetic model that "synth:NAME" names, or what the finder finds. Throws
// kNotFound, kCorrupt or kUnsupported with the path and what would be accepted.
std::unique_ptr<Checkpoint> open_checkpoint(const fs::path& path, const OpenOptions& options = {});

}  // namespace tq
