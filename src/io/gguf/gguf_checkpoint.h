// A GGUF file as a Checkpoint: HF tensor names, config.json and tokenizer files, and the tensors
// as they were before the converter changed them (gguf_config.h says how).
#pragma once

#include <memory>

#include "base/file.h"
#include "io/checkpoint.h"
#include "io/gguf/gguf_file.h"

namespace tq {

// Throws kNotFound, kCorrupt or kUnsupported, naming the file and the tensor or key. With
// options.inspect a file that cannot be presented as a Hugging Face checkpoint has its own names,
// and the problem().
std::unique_ptr<Checkpoint> open_gguf_checkpoint(const fs::path& path,
                                                 const OpenOptions& options = {});
// The same of a file already read.
std::unique_ptr<Checkpoint> open_gguf_checkpoint(GgufFile file, const OpenOptions& options = {});

}  // namespace tq
