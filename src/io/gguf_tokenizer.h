// The tokenizer inside a GGUF file, written out as the Hugging Face files it was made from, so that
// one tokenizer implementation serves both. Pure function, thread safe.
#pragma once

#include <map>
#include <string>

#include "io/gguf_file.h"

namespace tq {

// "tokenizer.json" and "tokenizer_config.json" (special tokens, chat template) by file name; empty
// when the file has no tokenizer. Read are tokenizer.ggml.model "gpt2" (byte-level BPE, split as
// tokenizer.ggml.pre names) and "llama" (SentencePiece BPE, the merges rebuilt from the scores);
// throws kUnsupported for others and kCorrupt for metadata that contradicts itself.
std::map<std::string, std::string> gguf_tokenizer_files(const GgufFile& file);

}  // namespace tq
