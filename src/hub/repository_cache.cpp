#include "hub/repository_cache.h"

#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/ascii.h"
#include "base/error.h"
#include "hub/file_choice.h"
#include "io/safetensors/safetensors_index.h"
#include "io/shard_name.h"

namespace tq {
namespace {

constexpr std::string_view kModels = "models--";
constexpr size_t kMaxSnapshotFiles = 100'000;
constexpr int kMaxSnapshotDepth = 16;

std::string folder_name(std::string repository) {
  repository.replace(repository.find('/'), 1, "--");
  return std::string(kModels) + repository;
}

void make_all(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail_errno(error.value(), folder.string());
}

bool has_size(const fs::path& path, int64_t size) {
  std::error_code none;
  return is_file(path) && static_cast<int64_t>(fs::file_size(path, none)) == size;
}

// Whether a place in a snapshot has a file's content: by the hash that a link leads to, whose
// content was checked; only of a file of its own, which Hugging Face's tools make where links do
// not work, the size is all that can be told.
bool holds(const fs::path& place, const HubFile& file) {
  std::error_code none;
  if (fs::is_symlink(place, none) && fs::read_symlink(place, none).filename() != file.hash) {
    return false;
  }
  return has_size(place, file.size);
}

// The names in a list, among them the wanted ones; the first that is not there.
std::string first_missing(const std::set<std::string>& wanted,
                          const std::vector<std::string>& names) {
  for (const std::string& name : wanted) {
    if (!std::binary_search(names.begin(), names.end(), name)) return name;
  }
  return "";
}

}  // namespace

RepositoryCache::RepositoryCache(fs::path cache, const std::string& repository)
    : cache_(std::move(cache)), name_(folder_name(repository)), folder_(cache_ / name_) {}

fs::path RepositoryCache::lock(std::string_view hash) const {
  return cache_ / ".locks" / name_ / (std::string(hash) + ".lock");
}

std::optional<std::string> RepositoryCache::commit_of(const std::string& revision) const {
  if (is_hex(revision, 40)) {
    if (is_folder(snapshot(revision))) return revision;
    return std::nullopt;
  }
  constexpr int64_t kMaxRefBytes = 4096;
  const fs::path ref = folder_ / "refs" / revision;
  if (!is_file(ref)) return std::nullopt;
  const std::string commit(trim(read_text_file(ref, kMaxRefBytes)));
  return is_hex(commit, 40) ? std::optional(commit) : std::nullopt;
}

bool RepositoryCache::has(std::string_view commit, const HubFile& file) const {
  return has_size(blob(file.hash), file.size) || holds(snapshot(commit) / file.path, file);
}

void RepositoryCache::make(std::string_view commit) const {
  make_all(folder_ / "blobs");
  make_all(folder_ / "refs");
  make_all(snapshot(commit));
}

void RepositoryCache::link(std::string_view commit, const HubFile& file) const {
  const fs::path place = snapshot(commit) / file.path;
  if (holds(place, file)) return;
  if (!has_size(blob(file.hash), file.size)) {
    fail(ErrorCode::kIo, "{}: its content {} was removed while it was pulled; pull again",
         place.string(), blob(file.hash).string());
  }
  make_all(place.parent_path());
  std::string target = "../../";
  for (const char c : file.path) {
    if (c == '/') target += "../";
  }
  target += "blobs/" + file.hash;
  // Outside of the snapshot, where one that kill -9 leaves would count as a file.
  const fs::path temporary = folder_ / fmt::format(".{}.{}.tq-link", file.hash, ::getpid());
  std::error_code none;
  fs::remove(temporary, none);
  std::error_code error;
  fs::create_symlink(target, temporary, error);
  if (error) {
    fail(errno_code(error.value()),
         "{}: cannot make a link ({}); the cache needs a file system that has them, see "
         "HF_HUB_CACHE",
         place.string(), error.message());
  }
  fs::rename(temporary, place, error);
  if (error) {
    fs::remove(temporary, none);
    fail_errno(error.value(), place.string());
  }
}

void RepositoryCache::check_ref(const std::string& revision) const {
  if (is_hex(revision, 40)) return;
  const auto in_the_way = [&](const std::string& other) {
    fail(ErrorCode::kInvalidArgument,
         "the cache has a branch or tag {} of before, beside which there can be no {}; remove {} "
         "first",
         other, revision, (folder_ / "refs" / other).string());
  };
  for (size_t at = revision.find('/'); at != std::string::npos; at = revision.find('/', at + 1)) {
    if (is_file(folder_ / "refs" / revision.substr(0, at))) in_the_way(revision.substr(0, at));
  }
  if (is_folder(folder_ / "refs" / revision)) in_the_way(revision + "/...");
}

void RepositoryCache::set_ref(const std::string& revision, const std::string& commit) const {
  if (is_hex(revision, 40) || commit_of(revision) == commit) return;
  const fs::path ref = folder_ / "refs" / revision;
  make_all(ref.parent_path());
  write_file_atomic(ref, commit);
}

std::vector<std::string> RepositoryCache::files(std::string_view commit) const {
  const fs::path top = snapshot(commit);
  std::vector<std::string> names;
  std::error_code error;
  fs::recursive_directory_iterator at(top, error);
  while (!error && at != fs::recursive_directory_iterator() && names.size() < kMaxSnapshotFiles) {
    std::error_code none;
    if (at.depth() >= kMaxSnapshotDepth) at.disable_recursion_pending();
    if (fs::is_regular_file(at->path(), none)) {
      names.push_back(at->path().lexically_relative(top).string());
    }
    at.increment(error);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> RepositoryCache::all_files(std::string_view commit) const {
  const fs::path top = snapshot(commit);
  std::vector<std::string> names;
  std::error_code error;
  fs::recursive_directory_iterator at(top, error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    std::error_code none;
    if (fs::is_directory(at->symlink_status(none))) continue;
    names.push_back(at->path().lexically_relative(top).string());
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    fail_errno(error.value(), top.string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::optional<std::string> repository_of_folder(std::string_view folder) {
  if (!folder.starts_with(kModels)) return std::nullopt;
  std::string name(folder.substr(kModels.size()));
  const size_t dashes = name.find("--");
  if (dashes == std::string::npos) return std::nullopt;
  name.replace(dashes, 2, "/");
  if (!is_repository_name(name)) return std::nullopt;
  return name;
}

std::string missing_part(const RepositoryCache& repository, const std::string& commit) {
  const std::vector<std::string> files = repository.files(commit);
  const std::vector<std::string> weights = safetensors_weights(files);
  const auto there = [&](const char* name) {
    return std::binary_search(files.begin(), files.end(), name);
  };
  if (there(kSafetensorsIndexName) && !there("model.safetensors")) {
    std::set<std::string> wanted;
    for (auto& [tensor, shard] :
         read_safetensors_index(repository.snapshot(commit) / kSafetensorsIndexName)) {
      wanted.insert(shard);
    }
    if (std::string missing = first_missing(wanted, files); !missing.empty()) return missing;
    return there("config.json") ? "" : "config.json";
  }
  if (weights.empty()) return "";
  if (const auto part = parse_shard_name(weights.front())) {
    std::set<std::string> wanted;
    for (int64_t i = 1; i <= part->count; ++i) wanted.insert(shard_name(*part, i));
    if (std::string missing = first_missing(wanted, files); !missing.empty()) return missing;
  }
  return there("config.json") ? "" : "config.json";
}

std::optional<FoundModel> find_cached_model(const fs::path& cache, const HubName& name) {
  const RepositoryCache repository(cache, name.repository);
  const auto commit = repository.commit_of(name.revision_or_main());
  if (!commit) return std::nullopt;
  const std::vector<std::string> files = repository.files(*commit);
  const bool wants_gguf = name.wants_gguf();
  if (!wants_gguf && !safetensors_weights(files).empty()) {
    if (!missing_part(repository, *commit).empty()) return std::nullopt;
    return FoundModel{repository.snapshot(*commit), ""};
  }
  std::vector<GgufModel> models = gguf_models(files);
  std::erase_if(models, [](const GgufModel& model) { return !model.complete; });
  const GgufModel* model = choose_gguf_model(models, name);
  if (model == nullptr) return std::nullopt;
  std::string note;
  if (!wants_gguf && models.size() > 1) {
    note = fmt::format("{}: using {}, of those in the cache", name.repository, model->label());
  }
  return FoundModel{repository.snapshot(*commit) / model->paths.front(), note};
}

}  // namespace tq
