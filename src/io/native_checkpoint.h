// Our own checkpoint (docs/formats.md): a Hugging Face folder whose tq_config.json names the
// compressed tensors. Immutable after opening, thread safe.
#pragma once

#include <memory>
#include <string>

#include "base/json.h"
#include "io/checkpoint.h"

namespace tq {

// manifest: the parsed tq_config.json, `name` its path for messages. Throws kNotFound, kCorrupt or
// kUnsupported; the manifest and the stored planes must agree in every name, dtype and shape.
std::unique_ptr<Checkpoint> open_native_checkpoint(const fs::path& folder, const Json& manifest,
                                                   const std::string& name,
                                                   const OpenOptions& options);

}  // namespace tq
