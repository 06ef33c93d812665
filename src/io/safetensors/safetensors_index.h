// Reads model.safetensors.index.json: which shard holds which tensor. Pure functions.
// (safetensors_layout.h has the writing side.)
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"

namespace tq {

constexpr const char* kSafetensorsIndexName = "model.safetensors.index.json";

// (tensor, shard file name), sorted by tensor, each tensor once. Shard names are plain file names.
using SafetensorsIndex = std::vector<std::pair<std::string, std::string>>;

// Throws kCorrupt: not JSON, no weight_map, a tensor twice, a shard name that leaves the folder.
SafetensorsIndex parse_safetensors_index(std::string_view text, const std::string& name);
SafetensorsIndex read_safetensors_index(const fs::path& path);

}  // namespace tq
