// A folder that tq convert --layout awq or compressed-tensors wrote, read back: linears as integers
// in groups (format/int_groups.h), everything else plainly. To look at it, to check it, to measure
// what it costs, and to run it, for which its linears become 16-bit numbers.
#pragma once

#include <memory>

#include "io/checkpoint.h"
#include "io/native/native_manifest.h"

namespace tq {

// The manifest says which layout. Throws kUnsupported for one that this build does not know,
// kCorrupt for tensors that do not fit together, naming the tensor.
std::unique_ptr<Checkpoint> open_int_checkpoint(const fs::path& folder, NativeManifest manifest,
                                                const OpenOptions& options);

}  // namespace tq
