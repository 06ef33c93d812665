#include "io/safetensors_file.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "base/error.h"
#include "io/folder.h"
#include "io/safetensors_index.h"

namespace tq {
namespace {

std::vector<std::string> safetensors_names(const fs::path& folder) {
  std::vector<std::string> names;
  for (std::string& name : list_files(folder)) {
    if (name.ends_with(".safetensors")) names.push_back(std::move(name));
  }
  return names;
}

// The shards that an index names; all must be there.
std::vector<fs::path> indexed_files(const fs::path& folder, const SafetensorsIndex& index) {
  std::set<std::string> names;
  for (const auto& [tensor, file] : index) names.insert(file);
  std::vector<fs::path> paths;
  std::vector<std::string> missing;
  for (const std::string& name : names) {
    paths.push_back(folder / name);
    if (!fs::is_regular_file(paths.back())) missing.push_back(name);
  }
  if (!missing.empty()) {
    constexpr size_t kShown = 10;
    const size_t shown = std::min(missing.size(), kShown);
    fail(ErrorCode::kNotFound, "{}: {} of {} shards are missing: {}{}; fetch them again",
         (folder / kSafetensorsIndexName).string(), missing.size(), names.size(),
         fmt::join(missing.begin(), missing.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
         shown < missing.size() ? ", ..." : "");
  }
  return paths;
}

// Without model.safetensors and index, a single file that is not a shard of several.
std::vector<fs::path> lone_file(const fs::path& folder) {
  const std::vector<std::string> names = safetensors_names(folder);
  if (names.empty()) fail(ErrorCode::kNotFound, "{}: no .safetensors file", folder.string());
  if (names.size() > 1 || names[0].find("-of-") != std::string::npos) {
    fail(ErrorCode::kNotFound,
         "{}: {} .safetensors files ({}{}) but neither model.safetensors nor {}, which says how "
         "they belong together",
         folder.string(), names.size(), names[0], names.size() > 1 ? ", ..." : "",
         kSafetensorsIndexName);
  }
  return {folder / names[0]};
}

}  // namespace

SafetensorsSet::SafetensorsSet(const fs::path& path) {
  SafetensorsIndex index;
  std::vector<fs::path> paths;
  if (!fs::is_directory(path)) {
    paths = {path};
  } else if (fs::is_regular_file(path / "model.safetensors")) {
    paths = {path / "model.safetensors"};
  } else if (fs::exists(path / kSafetensorsIndexName)) {
    index = read_safetensors_index(path / kSafetensorsIndexName);
    paths = indexed_files(path, index);
  } else {
    paths = lone_file(path);
  }
  for (const fs::path& file : paths) files_.emplace_back(file);
  for (const SafetensorsFile& file : files_) {
    for (const SafetensorsEntry& entry : file.entries()) tensors_.push_back({&file.file(), &entry});
  }
  for (const StoredTensor& tensor : tensors_) by_name_.push_back(&tensor);
  std::sort(by_name_.begin(), by_name_.end(),
            [](const auto* a, const auto* b) { return a->name() < b->name(); });
  for (size_t i = 1; i < by_name_.size(); ++i) {
    if (by_name_[i - 1]->name() != by_name_[i]->name()) continue;
    fail(ErrorCode::kCorrupt, "{}: tensor \"{}\" is in two shards: {} and {}", path.string(),
         by_name_[i]->name(), by_name_[i - 1]->file->path().filename().string(),
         by_name_[i]->file->path().filename().string());
  }
  for (const auto& [name, file] : index) {
    const StoredTensor* tensor = find(name);
    if (tensor != nullptr && tensor->file->path().filename() == file) continue;
    fail(ErrorCode::kCorrupt, "{}: tensor \"{}\" is not in {}, where the index has it",
         (path / kSafetensorsIndexName).string(), name, file);
  }
}

const StoredTensor* SafetensorsSet::find(std::string_view name) const {
  const auto at = std::lower_bound(
      by_name_.begin(), by_name_.end(), name,
      [](const StoredTensor* tensor, std::string_view wanted) { return tensor->name() < wanted; });
  return at != by_name_.end() && (*at)->name() == name ? *at : nullptr;
}

std::vector<fs::path> SafetensorsSet::files() const {
  std::vector<fs::path> paths;
  for (const SafetensorsFile& file : files_) paths.push_back(file.file().path());
  return paths;
}

bool has_safetensors(const fs::path& folder) {
  return fs::exists(folder / kSafetensorsIndexName) || !safetensors_names(folder).empty();
}

}  // namespace tq
