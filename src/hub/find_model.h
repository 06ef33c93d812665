// find_hub_model: what a CheckpointFinder does with a name of the hub.
#pragma once

#include <optional>

#include "hub/pull.h"

namespace tq {

// The model of a path that is neither a file nor a folder: from the cache, or pulled. Nothing where
// the path is no name of the hub. Throws what find_or_pull() throws.
std::optional<fs::path> find_hub_model(const fs::path& path, const PullOptions& options);

}  // namespace tq
