#include "hub/cache_contents.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "base/ascii.h"
#include "base/error.h"
#include "base/nearest.h"
#include "hub/file_choice.h"
#include "hub/file_lock.h"
#include "hub/listing.h"
#include "hub/partial_file.h"
#include "hub/repository_cache.h"

namespace tq {
namespace {

// The names in a folder, sorted; empty where there is none. Throws kIo.
std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    names.push_back(at->path().filename().string());
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    fail_errno(error.value(), folder.string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> commits_of(const RepositoryCache& repository) {
  std::vector<std::string> commits = names_in(repository.folder() / "snapshots");
  std::erase_if(commits, [](const std::string& name) { return !is_hex(name, 40); });
  return commits;
}

// Whether a snapshot is a folder of the cache itself: what links lead to is not ours to remove.
bool is_own(const RepositoryCache& repository, const std::string& commit) {
  std::error_code none;
  const fs::path folder = repository.snapshot(commit);
  return !fs::is_symlink(folder.parent_path(), none) && !fs::is_symlink(folder, none);
}

// Branches and tags by the commit that they were last seen at.
std::multimap<std::string, std::string> refs_of(const RepositoryCache& repository) {
  const fs::path top = repository.folder() / "refs";
  std::multimap<std::string, std::string> refs;
  std::error_code error;
  fs::recursive_directory_iterator at(top, error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    std::error_code none;
    if (!fs::is_regular_file(at->path(), none)) continue;
    const std::string revision = at->path().lexically_relative(top).string();
    if (!is_revision(revision)) continue;
    if (const auto commit = repository.commit_of(revision)) refs.emplace(*commit, revision);
  }
  return refs;
}

// Bytes on the disk of a file itself, which is 0 of a link.
int64_t disk_bytes(const fs::path& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return 0;
  return int64_t{512} * info.st_blocks;
}

// Whether a name in blobs is one of a file that is not whole, ours or another tool's.
bool is_unfinished(std::string_view name) {
  return is_partial(name) || name.ends_with(".incomplete");
}

void add_file(CachedEntry& entry, const fs::path& file) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) return;
  entry.bytes += info.st_size;
  entry.fetched_time = std::max<int64_t>(entry.fetched_time, info.st_mtime);
}

// The models of one snapshot. `base`: their name without a quantization.
void add_entries(const RepositoryCache& repository, const std::string& commit,
                 const std::string& base, std::vector<CachedEntry>& entries) {
  const fs::path snapshot = repository.snapshot(commit);
  std::vector<std::string> files = repository.files(commit);
  const std::vector<GgufModel> ggufs = gguf_models(files);
  for (const GgufModel& model : ggufs) {
    CachedEntry entry;
    const bool named = !model.quantization.empty() &&
                       std::count_if(ggufs.begin(), ggufs.end(), [&](const GgufModel& other) {
                         return other.quantization == model.quantization;
                       }) == 1;
    entry.name = base + ":" + (named ? model.quantization : model.paths.front());
    entry.commit = commit;
    entry.path = snapshot / model.paths.front();
    if (!model.complete) entry.missing = "parts are missing";
    for (const std::string& path : model.paths) add_file(entry, snapshot / path);
    entries.push_back(std::move(entry));
  }
  std::erase_if(files, [](const std::string& file) { return file.ends_with(".gguf"); });
  if (files.empty()) return;
  CachedEntry entry;
  entry.name = base;
  entry.commit = commit;
  entry.path = snapshot;
  for (const std::string& path : files) add_file(entry, snapshot / path);
  if (safetensors_weights(files).empty()) {
    if (!ggufs.empty()) return;  // what lies beside GGUF files
    entry.missing = "no weights";
  } else {
    try {
      entry.missing = missing_part(repository, commit);
      if (!entry.missing.empty()) entry.missing += " is missing";
    } catch (const Error& error) {
      entry.missing = error.what();
    }
  }
  entries.push_back(std::move(entry));
}

CachedRepository list_repository(const fs::path& cache, const std::string& name) {
  const RepositoryCache repository(cache, name);
  CachedRepository out;
  out.repository = name;
  const auto refs = refs_of(repository);
  for (const std::string& commit : commits_of(repository)) {
    const auto [first, last] = refs.equal_range(commit);
    const bool is_main =
        std::any_of(first, last, [](const auto& ref) { return ref.second == "main"; });
    std::string base = name;
    if (!is_main) base += ":" + (first == last ? commit : first->second);
    add_entries(repository, commit, base, out.entries);
  }
  const fs::path blobs = repository.folder() / "blobs";
  for (const std::string& blob : names_in(blobs)) {
    const int64_t bytes = disk_bytes(blobs / blob);
    out.bytes += bytes;
    if (is_unfinished(blob)) out.unfinished_bytes += bytes;
  }
  return out;
}

FileLock take_alone(const fs::path& path, const HubName& name) {
  auto lock = FileLock::try_take(path);
  if (lock) return *std::move(lock);
  fail(ErrorCode::kInvalidArgument, "{} is being fetched by another program; stop that first",
       name.repository);
}

// Locks on what is being fetched. Throws when another program has one.
std::vector<FileLock> lock_unfinished(const RepositoryCache& repository, const HubName& name) {
  std::vector<FileLock> locks;
  for (const std::string& blob : names_in(repository.folder() / "blobs")) {
    if (!is_unfinished(blob) || blob.ends_with(".json")) continue;
    locks.push_back(take_alone(repository.lock(blob.substr(0, blob.find('.'))), name));
  }
  return locks;
}

// One that is not there any more is removed.
void remove_one(const fs::path& path) {
  std::error_code error;
  fs::remove(path, error);
  if (error) fail_errno(error.value(), path.string());
}

void remove_tree(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) fail_errno(error.value(), path.string());
}

Removal remove_repository(const RepositoryCache& repository, const HubName& name, bool dry_run) {
  Removal removal;
  removal.what.push_back(name.repository);
  const fs::path blobs = repository.folder() / "blobs";
  std::error_code none;
  if (!fs::is_symlink(blobs, none)) {  // what it leads to stays
    for (const std::string& blob : names_in(blobs)) removal.bytes += disk_bytes(blobs / blob);
  }
  if (dry_run) return removal;
  const std::vector<FileLock> locks = lock_unfinished(repository, name);
  // In this order nobody finds a part of a model in between.
  remove_tree(repository.folder() / "refs");
  remove_tree(repository.folder() / "snapshots");
  remove_tree(repository.folder());
  remove_tree(repository.lock("x").parent_path());
  return removal;
}

// Which of the blobs of a repository the files of its snapshots are.
std::map<fs::path, std::string> blobs_by_link(const RepositoryCache& repository) {
  std::map<fs::path, std::string> blobs;
  for (const std::string& commit : commits_of(repository)) {
    for (const std::string& file : repository.all_files(commit)) {
      const fs::path link = repository.snapshot(commit) / file;
      std::error_code none;
      const fs::path target = fs::read_symlink(link, none);
      blobs[link] = none ? "" : target.filename().string();
    }
  }
  return blobs;
}

// The files that a tagged name stands for.
std::set<fs::path> links_of(const RepositoryCache& repository, const HubName& name) {
  std::vector<std::string> commits = commits_of(repository);
  if (!name.revision.empty()) {
    const auto commit = repository.commit_of(name.revision);
    commits.clear();
    if (commit) commits.push_back(*commit);
    if (commit && !is_own(repository, *commit)) {
      fail(ErrorCode::kInvalidArgument, "{} is or lies behind a link; remove that by hand",
           repository.snapshot(*commit).string());
    }
  }
  std::erase_if(commits, [&](const std::string& commit) { return !is_own(repository, commit); });
  std::set<fs::path> links;
  const bool gguf = name.wants_gguf();
  for (const std::string& commit : commits) {
    std::vector<std::string> files = repository.all_files(commit);
    if (gguf) {
      const std::vector<GgufModel> models = gguf_models(files);
      const GgufModel* model = choose_gguf_model(models, name);
      files = model == nullptr ? std::vector<std::string>() : model->paths;
    }
    for (const std::string& file : files) links.insert(repository.snapshot(commit) / file);
  }
  return links;
}

// Folders that hold nothing any more, from the inside out.
void remove_empty_folders(const fs::path& top) {
  std::error_code none;
  for (const std::string& name : names_in(top)) {
    if (fs::is_directory(fs::symlink_status(top / name, none))) remove_empty_folders(top / name);
  }
  fs::remove(top, none);  // fails for one that holds something
}

void remove_stale_refs(const RepositoryCache& repository) {
  std::error_code none;
  for (const auto& [commit, revision] : refs_of(repository)) {
    if (!fs::exists(repository.snapshot(commit), none)) {
      remove_one(repository.folder() / "refs" / revision);
    }
  }
}

// Whether a name is a branch or tag whose commit others name as well: then only it goes.
bool is_one_of_many(const RepositoryCache& repository, const HubName& name) {
  if (name.revision.empty() || is_hex(name.revision, 40) || name.wants_gguf()) return false;
  const auto commit = repository.commit_of(name.revision);
  return commit && refs_of(repository).count(*commit) > 1;
}

Removal remove_tagged(const RepositoryCache& repository, const HubName& name, bool dry_run) {
  if (is_one_of_many(repository, name)) {
    if (!dry_run) remove_one(repository.folder() / "refs" / name.revision);
    return {{"refs/" + name.revision}, 0, /*only_name=*/true};
  }
  const auto blobs = blobs_by_link(repository);
  const std::set<fs::path> links = links_of(repository, name);
  std::set<std::string> kept;
  std::set<std::string> unneeded;
  for (const auto& [link, blob] : blobs) {
    (links.contains(link) ? unneeded : kept).insert(blob);
  }
  Removal removal;
  for (const fs::path& link : links) {
    removal.what.push_back(link.lexically_relative(repository.folder() / "snapshots").string());
    removal.bytes += disk_bytes(link);
  }
  std::erase_if(unneeded,
                [&](const std::string& blob) { return blob.empty() || kept.contains(blob); });
  for (const std::string& blob : unneeded) removal.bytes += disk_bytes(repository.blob(blob));
  if (dry_run || links.empty()) return removal;
  // Of other tools, which know these locks only.
  std::vector<FileLock> locks;
  for (const std::string& blob : unneeded) {
    locks.push_back(take_alone(repository.lock(blob), name));
  }
  for (const fs::path& link : links) remove_one(link);
  for (const std::string& blob : unneeded) remove_one(repository.blob(blob));
  remove_empty_folders(repository.folder() / "snapshots");
  remove_stale_refs(repository);
  return removal;
}

// What there is, for a message.
std::string shown_names(const std::vector<std::string>& names) {
  constexpr size_t kMost = 20;
  std::vector<std::string> shown;
  for (const std::string& name : names) {
    if (shown.size() == kMost) break;
    shown.push_back(printable(name));
  }
  return fmt::format("{}{}", fmt::join(shown, ", "), names.size() > kMost ? ", ..." : "");
}

}  // namespace

std::vector<CachedRepository> list_cache(const fs::path& cache) {
  std::vector<CachedRepository> out;
  for (const std::string& folder : names_in(cache)) {
    const auto name = repository_of_folder(folder);
    if (name && is_folder(cache / folder)) out.push_back(list_repository(cache, *name));
  }
  std::sort(out.begin(), out.end(), [](const CachedRepository& a, const CachedRepository& b) {
    return lower_case(a.repository) < lower_case(b.repository);
  });
  return out;
}

Removal remove_cached(const fs::path& cache, const HubName& name, bool dry_run) {
  const RepositoryCache repository(cache, name.repository);
  std::error_code none;
  if (fs::is_symlink(repository.folder(), none)) {
    fail(ErrorCode::kInvalidArgument, "{} is a link; remove it and what it leads to by hand",
         repository.folder().string());
  }
  const bool tagged = !name.revision.empty() || name.wants_gguf();
  std::vector<std::string> known;
  if (is_folder(repository.folder())) {
    std::optional<FileLock> lock;
    if (!dry_run) lock = take_alone(repository.use_lock(), name);
    Removal removal = tagged ? remove_tagged(repository, name, dry_run)
                             : remove_repository(repository, name, dry_run);
    if (!removal.what.empty()) return removal;
    for (const CachedEntry& entry : list_repository(cache, name.repository).entries) {
      known.push_back(entry.name);
    }
    fail(ErrorCode::kNotFound, "there is no {} in {}; {}", name.text(), cache.string(),
         known.empty()
             ? fmt::format("`tq rm {}` removes what an interrupted pull has left", name.repository)
             : "there are " + shown_names(known));
  }
  for (const CachedRepository& one : list_cache(cache)) known.push_back(one.repository);
  fail(ErrorCode::kNotFound, "there is no {} in {}{}", name.repository, cache.string(),
       did_you_mean(name.repository, known));
}

}  // namespace tq
