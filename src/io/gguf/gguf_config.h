// What GGUF files mean in Hugging Face terms: for each architecture (general.architecture) the map
// of tensor names and the config.json that its metadata stands for. Constant tables and pure
// functions, thread safe.
//
// Adding an architecture: a file in arch/ with a table of tensor rules, a function that makes the
// config and the GgufArch that joins them, its declaration in arch/archs.h and a row of the list in
// gguf_config.cpp.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/json.h"
#include "io/gguf/gguf_file.h"

namespace tq {

// What a GGUF converter did to a tensor, and reading it must undo.
enum class GgufTransform : uint8_t {
  kNone,
  // Rows of each head were interleaved so that rope pairs (i, i + head_dim / 2) become neighbours.
  kUnpermuteQ,  // num_attention_heads heads
  kUnpermuteK,  // num_key_value_heads heads
  kMinusOne,    // 1 was added (norms that multiply by 1 + w)
  kDrop,        // holds what the config says already; no tensor of the checkpoint
  // Latent attention's expansion, cut in two: of each head the rows that expand keys, transposed,
  // and in the tensor "attn_v_b" of the same layer those that expand values.
  kJoinLatent,
  kJoinedLatent,  // that second one
};

struct GgufTensorRule {
  std::string_view gguf;  // "{}" stands for the layer's number
  std::string_view hf;
  GgufTransform transform = GgufTransform::kNone;
};

class GgufMetadata;  // gguf_metadata.h

struct GgufArch {
  std::string_view name;  // general.architecture
  std::span<const GgufTensorRule> tensors;
  Json (*config)(GgufMetadata& metadata);
};

// The row of the file's architecture; kUnsupported naming it and those that are known.
const GgufArch& gguf_arch(const GgufFile& file);

// config.json. Throws kUnsupported for metadata that would change the mathematics in a way the
// config cannot say (any "<arch>." key that is not understood), kCorrupt or kNotFound for broken or
// missing values, naming the key. Keys in `ignored` count as absent.
Json gguf_config(const GgufFile& file, std::span<const std::string> ignored = {});

// generation_config.json: bos_token_id, and eos_token_id as the list of all ids that end a turn:
// those the metadata names, then tokens whose text says so ("<end_of_turn>").
Json gguf_generation_config(const GgufFile& file);

}  // namespace tq
