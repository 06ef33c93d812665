// Our own checkpoint (docs/formats.md): a Hugging Face folder whose tq_config.json names the
// compressed tensors. Immutable after opening, thread safe.
#pragma once

#include <memory>

#include "io/checkpoint.h"
#include "io/native/native_manifest.h"

namespace tq {

// manifest: of the folder's tq_config.json. Throws kNotFound, kCorrupt or kUnsupported; the
// manifest and the stored planes must agree in every name, dtype and shape.
std::unique_ptr<Checkpoint> open_native_checkpoint(const fs::path& folder, NativeManifest manifest,
                                                   const OpenOptions& options);

}  // namespace tq
