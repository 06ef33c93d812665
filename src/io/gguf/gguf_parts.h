// Models that are split into several GGUF files, "PREFIX-00001-of-00003.gguf" and so on, as
// llama.cpp splits them: the first has the metadata, and the others lie beside it.
#pragma once

#include "base/file.h"
#include "io/gguf/gguf_file.h"

namespace tq {

// The file, or, of a part of a split model, the first part with the tensors of all. Throws what
// GgufFile throws, kNotFound naming a part that is missing, kUnsupported for a part whose name was
// changed, kCorrupt for parts of different models.
GgufFile open_gguf_parts(const fs::path& path);

}  // namespace tq
