// The header of a safetensors file: what tensors it holds and where, with every rule of the format
// checked. Plain data; parsing is a pure function of the bytes.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "tensor/dtype.h"

namespace tq {

constexpr uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;  // the format's own limit
constexpr size_t kMaxSafetensorsTensors = size_t{1} << 20;

struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::kU8;
  Shape shape;
  uint64_t offset = 0;  // absolute in the file
  uint64_t size_bytes = 0;
};

// Before the JSON stands its length, as a little-endian 64-bit integer.
constexpr size_t kLengthBytes = 8;

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  // by offset; they tile the data section exactly
  std::map<std::string, std::string> metadata;
};

// Parses a whole file in memory; `name` stands for it in messages. Throws kCorrupt (kUnsupported
// for an unknown dtype) naming the tensor and the rule broken. Memory stays in proportion to the
// number of tensors, whatever the header says.
SafetensorsHeader parse_safetensors_header(std::span<const uint8_t> file, const std::string& name);

}  // namespace tq
