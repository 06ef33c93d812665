// The tokenizer inside a GGUF file, written out as the Hugging Face files it was made from, so that
// one tokenizer implementation serves both. Pure function, thread safe.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/error.h"
#include "io/gguf/gguf_file.h"

namespace tq {

struct GgufTokenizer {
  // "tokenizer.json" and "tokenizer_config.json" (special tokens, chat template) by file name;
  // empty when the file has no tokenizer.
  std::map<std::string, std::string> files;
  // Why there is no tokenizer.json: text cannot be split as the model was trained (kUnsupported).
  std::optional<Error> problem;
};

// Read are tokenizer.ggml.model "gpt2" (byte-level BPE, split as tokenizer.ggml.pre names) and
// "llama" (SentencePiece BPE, the merges rebuilt from the scores) and "gemma4" (the same with
// merges of its own). Special tokens outside the vocabulary are warned of and left out. Throws
// kCorrupt for metadata that contradicts itself.
GgufTokenizer gguf_tokenizer(const GgufFile& file);

}  // namespace tq
