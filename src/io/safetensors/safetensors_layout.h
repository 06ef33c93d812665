// The write side of safetensors: a layout fixes every tensor's place before a byte of data is
// known, so that tensors can be written in any order, by any thread, and again after a crash.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "tensor/dtype.h"

namespace tq {

struct SafetensorsItem {
  std::string name;
  DType dtype;
  Shape shape;
};

// One file: the header (padded with spaces so that data begins on a 64-byte boundary) and absolute
// offsets. Items keep their order except that those whose size is no multiple of 64 bytes go last:
// every other tensor then begins on a 64-byte boundary without holes, which the format forbids.
class SafetensorsLayout {
 public:
  // Throws kInvalidArgument for duplicate names or overflowing sizes.
  SafetensorsLayout(std::vector<SafetensorsItem> items,
                    const std::map<std::string, std::string>& metadata);

  const std::string& header() const { return header_; }  // length word and JSON, as on disk
  uint64_t file_bytes() const { return file_bytes_; }
  const std::vector<SafetensorsItem>& items() const { return items_; }
  uint64_t offset(size_t item) const { return offsets_[item]; }  // absolute, parallel to items()
  uint64_t size_bytes(size_t item) const;

 private:
  std::vector<SafetensorsItem> items_;
  std::vector<uint64_t> offsets_;
  std::string header_;
  uint64_t file_bytes_ = 0;
};

// model.safetensors.index.json for the shards: {"metadata":{"total_size":...},"weight_map":{...}}.
Json safetensors_index(const std::vector<std::string>& file_names,
                       const std::vector<const SafetensorsLayout*>& layouts);

}  // namespace tq
