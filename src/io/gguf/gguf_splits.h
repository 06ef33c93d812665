// How byte-level tokenizers split text before they merge bytes: the names that GGUF files have for
// it (tokenizer.ggml.pre), as sections of tokenizer.json.
#pragma once

#include "base/json.h"
#include "io/gguf/gguf_file.h"

namespace tq {

// The small sections of tokenizer.json around its model.
struct Pipeline {
  Json normalizer;
  Json pre_tokenizer;
  Json decoder;
  bool ignore_merges = false;
};

// Of the splitting that tokenizer.ggml.pre names. Throws kUnsupported for a name that is not known.
Pipeline byte_level_pipeline(const GgufFile& file);

}  // namespace tq
