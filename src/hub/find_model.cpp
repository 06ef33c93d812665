#include "hub/find_model.h"

#include <string>

#include "base/ascii.h"
#include "base/error.h"

namespace tq {

std::optional<fs::path> find_hub_model(const fs::path& path, const PullOptions& options) {
  const auto name = parse_hub_name(path.string());
  if (!name) return std::nullopt;
  // A folder of that name is here: then the second part is a wrong name in it.
  std::error_code none;
  if (fs::is_directory(path.parent_path(), none)) return std::nullopt;
  // "folder/model.gguf" was meant as a path, and stays on this machine.
  const bool is_address = path.string().find("://") != std::string::npos;
  const std::string end = lower_case(fs::path(name->repository).extension().string());
  if (!is_address && (end == ".gguf" || end == ".safetensors")) return std::nullopt;
  try {
    return find_or_pull(*name, options);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNotFound || is_address) throw;
    fail(ErrorCode::kNotFound, "{}: no such file or folder, and as a name of the hub: {}",
         path.string(), error.what());
  }
}

}  // namespace tq
