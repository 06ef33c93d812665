// Mapped safetensors: one file, or the files that make up a model. Both own their mappings and are
// immutable after opening, thread safe.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "io/safetensors/safetensors_header.h"

namespace tq {

class SafetensorsFile {
 public:
  // Throws as MappedFile, refuse_foreign_weights and parse_safetensors_header do.
  explicit SafetensorsFile(const fs::path& path);

  std::span<const SafetensorsEntry> entries() const { return header_.entries; }
  const SafetensorsHeader& header() const { return header_; }
  const MappedFile& file() const { return file_; }

 private:
  MappedFile file_;
  SafetensorsHeader header_;
};

// A tensor of a SafetensorsSet; valid while the set lives.
struct StoredTensor {
  const MappedFile* file = nullptr;
  const SafetensorsEntry* entry = nullptr;

  const std::string& name() const { return entry->name; }
  std::span<const uint8_t> bytes() const {
    return file->bytes().subspan(entry->offset, entry->size_bytes);
  }
  // Copies some of the bytes without touching the mapping: a file that was cut short is an error
  // (kCorrupt), where reading the mapping would end the process.
  void read(uint64_t offset, std::span<uint8_t> out) const {
    file->read_at(entry->offset + offset, out);
  }
};

// All tensors of a model: a .safetensors file, or a folder with model.safetensors, or with
// model.safetensors.index.json and its shards, or with all shards of one model and no index. A
// plain model.safetensors wins over an index, which may be a stale one of other files.
class SafetensorsSet {
 public:
  // Throws kNotFound (nothing to open, missing shards), kCorrupt (index and shards contradict each
  // other, one tensor in two shards, a broken file).
  explicit SafetensorsSet(const fs::path& path);

  // By shard name, then offset.
  std::span<const StoredTensor> tensors() const { return tensors_; }
  // Null when there is no such tensor.
  const StoredTensor* find(std::string_view name) const;
  std::vector<fs::path> files() const;

 private:
  std::vector<SafetensorsFile> files_;
  std::vector<StoredTensor> tensors_;
  std::vector<const StoredTensor*> by_name_;
};

// True if the folder holds anything that SafetensorsSet might open.
bool has_safetensors(const fs::path& folder);

}  // namespace tq
