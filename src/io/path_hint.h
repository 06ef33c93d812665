// What somebody may have meant whose path does not exist: a name beside it, or an address.
// folder_hints.h is about folders that exist; names on a hub are a CheckpointFinder's.
#pragma once

#include <string>

#include "base/file.h"

namespace tq {

// The end of an error message, with a leading "; ", or empty. Never throws for what it cannot read.
std::string missing_path_hint(const fs::path& path);

}  // namespace tq
