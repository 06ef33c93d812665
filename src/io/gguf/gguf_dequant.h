// How ggml stores weights: one table row a type. Decoding follows ggml's definition of each block
// to the bit. Constant data and pure functions, thread safe.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "io/gguf/gguf_file.h"
#include "tensor/dtype.h"

namespace tq {

struct GgmlTypeInfo {
  GgmlType type;
  std::string_view name;  // as in TensorEntry::storage: "q4_1"
  int block_weights;      // weights a block holds; the length of a row is a multiple of it
  int block_bytes;
  std::optional<DType> dtype;  // set for plain elements
  // Decodes consecutive blocks to fp32 [n_blocks * block_weights]. blocks need no alignment.
  void (*decode)(const uint8_t* blocks, int64_t n_blocks, float* out);
};

// How a type that is not read lies in a file: enough to show a file that has it.
struct GgmlLayout {
  std::string_view name;
  int block_weights;
  int block_bytes;
};

// All types that are read, in the order of their numbers.
std::span<const GgmlTypeInfo> all_ggml_types();
// Null when the type is not read.
const GgmlTypeInfo* find_ggml_type(uint32_t type);
const GgmlTypeInfo& ggml_type_info(GgmlType type);
// Of every type there is, read or not; nothing for numbers that are no type (any more).
std::optional<GgmlLayout> find_ggml_layout(uint32_t type);
// For messages: "20 (iq4_nl)", "77 (unknown)".
std::string ggml_type_label(uint32_t type);

}  // namespace tq
