#include "io/safetensors/safetensors_file.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "base/error.h"
#include "io/file_kind.h"
#include "io/folder.h"
#include "io/safetensors/safetensors_index.h"
#include "io/shard_name.h"

namespace tq {
namespace {

std::vector<std::string> safetensors_names(const fs::path& folder) {
  std::vector<std::string> names;
  for (std::string& name : list_files(folder)) {
    if (name.ends_with(".safetensors")) names.push_back(std::move(name));
  }
  return names;
}

// Files that the index does not name, where all that it names are gone: the files were saved again
// and the index was not.
[[noreturn]] void refuse_stale_index(const fs::path& index, const std::string& named,
                                     const std::vector<std::string>& here) {
  const ShardList shards = list_shards(here);
  const bool whole = shards.count > 0 && shards.missing.empty();
  fail(ErrorCode::kNotFound,
       "{}: is stale: it names {} and others that are not here, while {}{} are; {}", index.string(),
       named, here[0], here.size() > 1 ? fmt::format(" and {} more", here.size() - 1) : "",
       whole ? "remove it: these files are whole without it"
             : "fetch the index and its files again");
}

// The shards that an index names; all must be there.
std::vector<fs::path> indexed_files(const fs::path& folder, const SafetensorsIndex& index) {
  std::set<std::string> names;
  for (const auto& [tensor, file] : index) names.insert(file);
  std::vector<fs::path> paths;
  std::vector<std::string> missing;
  std::string dangling;
  for (const std::string& name : names) {
    paths.push_back(folder / name);
    if (is_file(paths.back())) continue;
    if (dangling.empty()) dangling = dangling_link(paths.back());
    missing.push_back(name);
  }
  if (missing.empty()) return paths;
  const fs::path index_path = folder / kSafetensorsIndexName;
  if (!dangling.empty()) {
    fail(ErrorCode::kNotFound, "{}: {} of {} shards cannot be reached: {} {}", index_path.string(),
         missing.size(), names.size(), missing[0], dangling);
  }
  std::vector<std::string> here = safetensors_names(folder);
  std::erase_if(here, [&](const std::string& name) { return names.contains(name); });
  if (missing.size() == names.size() && !here.empty()) {
    refuse_stale_index(index_path, missing[0], here);
  }
  constexpr size_t kShown = 10;
  const size_t shown = std::min(missing.size(), kShown);
  fail(ErrorCode::kNotFound, "{}: {} of {} shards are missing: {}{}; fetch them again",
       index_path.string(), missing.size(), names.size(),
       fmt::join(missing.begin(), missing.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
       shown < missing.size() ? ", ..." : "");
}

// Without model.safetensors and index: a single file, or all shards of one model.
std::vector<fs::path> unindexed_files(const fs::path& folder) {
  const std::vector<std::string> names = safetensors_names(folder);
  if (names.empty()) fail(ErrorCode::kNotFound, "{}: no .safetensors file", folder.string());
  const ShardList shards = list_shards(names);
  if (!shards.missing.empty()) {
    fail(ErrorCode::kNotFound, "{}: shards are missing: {}{}; fetch them and {} again",
         folder.string(), fmt::join(shards.missing, ", "),
         shards.missing.size() < 10 ? "" : ", ...", kSafetensorsIndexName);
  }
  if (shards.count == 0 && names.size() > 1) {
    fail(ErrorCode::kNotFound,
         "{}: {} .safetensors files ({}, ...) but neither model.safetensors nor {}, which says how "
         "they belong together",
         folder.string(), names.size(), names[0], kSafetensorsIndexName);
  }
  std::vector<fs::path> paths;
  for (const std::string& name : names) paths.push_back(folder / name);
  return paths;
}

}  // namespace

SafetensorsFile::SafetensorsFile(const fs::path& path) : file_(path) {
  refuse_foreign_weights(file_.bytes(), path);
  header_ = parse_safetensors_header(file_.bytes(), path.string());
}

SafetensorsSet::SafetensorsSet(const fs::path& path) {
  SafetensorsIndex index;
  std::vector<fs::path> paths;
  if (!is_folder(path)) {
    paths = {path};
  } else if (is_file(path / "model.safetensors")) {
    paths = {path / "model.safetensors"};
  } else if (const fs::path index_path = path / kSafetensorsIndexName;
             is_there(index_path) || !dangling_link(index_path).empty()) {
    index = read_safetensors_index(index_path);
    paths = indexed_files(path, index);
  } else {
    paths = unindexed_files(path);
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
  const fs::path index = folder / kSafetensorsIndexName;
  return is_there(index) || !dangling_link(index).empty() || !safetensors_names(folder).empty();
}

}  // namespace tq
