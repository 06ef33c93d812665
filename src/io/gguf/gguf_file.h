// GgufFile: a mapped GGUF v2/v3 file: typed metadata and the tensor directory, every size checked
// against the file. Knows nothing of models (gguf_checkpoint presents one as a Hugging Face
// checkpoint). Immutable after opening, thread safe.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "tensor/dtype.h"

namespace tq {

// ggml tensor types that are read; the values are those of the file, which may have others.
enum class GgmlType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kBF16 = 30,
  kMxfp4 = 39,
};

struct GgufTensor {
  std::string name;  // as in the file: "blk.0.attn_q.weight"
  GgmlType type;
  Shape shape;      // outermost first (the file has it reversed)
  uint64_t offset;  // absolute in the file
  uint64_t size_bytes;
  size_t part = 0;  // of the files of a split model: 0 is the one with the metadata
};

class GgufFile {
 public:
  // Throws kCorrupt / kUnsupported / kNotFound with the path and the fault. Tensors of types that
  // are not read are listed as the others: find_ggml_type() tells.
  explicit GgufFile(const fs::path& path);
  // The same over bytes in memory, which must outlive the object; `name` stands for the path in
  // messages.
  GgufFile(std::span<const uint8_t> bytes, std::string name);

  // Adds the tensors of the next file of a split model; its metadata is not looked at. kCorrupt for
  // a tensor that an earlier file has too.
  void add_part(GgufFile part);
  size_t n_parts() const { return 1 + parts_.size(); }
  // The file itself, and those that were added.
  const GgufFile& part(size_t i) const { return i == 0 ? *this : parts_[i - 1]; }

  // Sorted by offset, those of a part behind those of the part before.
  std::span<const GgufTensor> tensors() const { return tensors_; }
  // Null when there is no such tensor.
  const GgufTensor* find_tensor(std::string_view name) const;
  std::span<const uint8_t> tensor_bytes(const GgufTensor& tensor) const {
    return part(tensor.part).bytes_.subspan(tensor.offset, tensor.size_bytes);
  }
  // Copies some of a tensor's bytes without touching the mapping: a file that was cut short is an
  // error (kCorrupt), where reading the mapping would end the process.
  void read(const GgufTensor& tensor, uint64_t offset, std::span<uint8_t> out) const;
  // Empty for a file in memory.
  const MappedFile& file() const { return file_; }
  // The path, for messages.
  const std::string& name() const { return name_; }

  bool has(std::string_view key) const { return find(key) != nullptr; }
  bool is_array(std::string_view key) const;
  // Nothing when the key is absent; kCorrupt when it has another type. Integers of any width
  // convert; where integers are asked for, booleans count as 0 and 1 in an array.
  std::optional<std::string_view> string(std::string_view key) const;
  std::optional<int64_t> integer(std::string_view key) const;
  std::optional<double> number(std::string_view key) const;  // floats and integers
  std::optional<bool> boolean(std::string_view key) const;
  std::optional<std::vector<std::string_view>> strings(std::string_view key) const;
  std::optional<std::vector<int64_t>> integers(std::string_view key) const;
  std::optional<std::vector<float>> floats(std::string_view key) const;
  std::vector<std::string_view> keys() const;  // sorted

 private:
  struct Value {  // where a value lies; arrays are decoded when asked for
    std::string_view key;
    uint32_t type;
    uint32_t element_type;  // arrays
    uint64_t count;         // arrays
    uint64_t offset;        // of the value, of the first element for arrays
  };
  class Parser;  // gguf_file.cpp
  void parse();
  const Value* find(std::string_view key) const;
  void sort_names();
  [[noreturn]] void fail_type(const Value& value, std::string_view wanted) const;

  MappedFile file_;
  std::string name_;
  std::span<const uint8_t> bytes_;
  std::vector<Value> values_;        // sorted by key
  std::vector<GgufTensor> tensors_;  // as tensors()
  std::vector<size_t> by_name_;      // indices of tensors_, by name
  std::vector<GgufFile> parts_;
};

}  // namespace tq
