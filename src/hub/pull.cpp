#include "hub/pull.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>

#include "base/error.h"
#include "base/human.h"
#include "base/log.h"
#include "hub/download.h"
#include "hub/file_choice.h"
#include "hub/file_lock.h"
#include "hub/hub_answer.h"
#include "hub/partial_file.h"
#include "hub/repository_cache.h"

namespace tq {
namespace {

constexpr int64_t kSpareBytes = int64_t{16} << 20;  // links, folders, journals

std::string revision_of(const HubName& name) {
  return name.revision.empty() ? "main" : name.revision;
}

[[noreturn]] void fail_offline(const HubEnvironment& environment, const HubName& name) {
  const RepositoryCache repository(environment.cache, name.repository);
  const auto commit = repository.commit_of(revision_of(name));
  const std::string missing = commit ? missing_part(repository, *commit) : "";
  fail(ErrorCode::kNotFound, "{} is not {} in {}{}, and HF_HUB_OFFLINE forbids to fetch it",
       name.text(), commit ? "whole" : "there", environment.cache.string(),
       missing.empty() ? "" : fmt::format(" ({} is missing)", missing));
}

// What of a model is there is all that can be said without a network.
PullReport pull_offline(const HubEnvironment& environment, const HubName& name) {
  const auto cached = find_cached_model(environment.cache, name);
  const RepositoryCache repository(environment.cache, name.repository);
  const auto commit = repository.commit_of(revision_of(name));
  if (!cached || !commit) fail_offline(environment, name);
  info("{}: as it was last pulled; HF_HUB_OFFLINE forbids to ask for a newer one", name.text());
  PullReport report;
  report.commit = *commit;
  report.snapshot = repository.snapshot(*commit);
  report.model = cached->path;
  report.files = repository.files(*commit);
  std::error_code none;
  for (const std::string& file : report.files) {
    report.bytes += static_cast<int64_t>(fs::file_size(report.snapshot / file, none));
  }
  return report;
}

Listing ask_listing(HubClient& client, const HubEnvironment& environment, const HubName& name,
                    const PullOptions& options) {
  const std::string url =
      fmt::format("{}/api/models/{}/revision/{}?blobs=true", environment.endpoint,
                  url_encoded(name.repository), url_encoded(revision_of(name), /*segment=*/true));
  const std::string text =
      get_text(client, {url, kMaxListingBytes, options.cancelled}, environment, name);
  Listing listing = parse_listing(text, name.repository);
  if (is_hex(name.revision, 40) && listing.commit != name.revision) {
    fail(ErrorCode::kCorrupt,
         "{}: {} answers with commit {} where {} was asked for; nothing was fetched, ask another "
         "hub (HF_ENDPOINT)",
         name.repository, environment.endpoint, listing.commit, name.revision);
  }
  return listing;
}

// The bytes of a partial file that the disk already holds.
int64_t held_bytes(const fs::path& blob) {
  struct stat info {};
  if (::stat(partial_data(blob).c_str(), &info) != 0) return 0;
  return int64_t{512} * info.st_blocks;
}

void check_space(const fs::path& folder, const std::vector<DownloadItem>& items,
                 const HubName& name) {
  int64_t needed = 0;
  for (const DownloadItem& item : items) {
    needed += std::max<int64_t>(0, item.file.size - held_bytes(item.blob));
  }
  struct statvfs info {};
  if (needed == 0 || ::statvfs(folder.c_str(), &info) != 0) return;
  const double available = static_cast<double>(info.f_bavail) * static_cast<double>(info.f_frsize);
  if (available >= static_cast<double>(needed + kSpareBytes)) return;
  fail(ErrorCode::kNoSpace,
       "{}: {} are to be fetched, and {} has room for {}; make room (tq list, tq rm), or keep "
       "models elsewhere (HF_HUB_CACHE)",
       name.text(), human_bytes(static_cast<double>(needed)), folder.string(),
       human_bytes(available));
}

// What is not there yet. Files of the same content are one.
std::vector<DownloadItem> items_to_fetch(const RepositoryCache& repository, const Listing& listing,
                                         const std::vector<HubFile>& files,
                                         const HubEnvironment& environment, const HubName& name) {
  std::vector<DownloadItem> items;
  std::set<std::string> hashes;
  for (const HubFile& file : files) {
    if (repository.has(listing.commit, file) || !hashes.insert(file.hash).second) continue;
    const std::string url =
        fmt::format("{}/{}/resolve/{}/{}", environment.endpoint, url_encoded(name.repository),
                    listing.commit, url_encoded(file.path));
    items.push_back({file, url, repository.blob(file.hash), repository.lock(file.hash)});
  }
  return items;
}

// What says that there is a model last: the weights, and config.json after all. Other tools may
// have put that there before, so the weights come after the tokenizer, too.
void link_files(const RepositoryCache& repository, const std::string& commit,
                std::vector<HubFile> files) {
  const auto rank = [](const HubFile& file) {
    if (file.path == "config.json") return 2;
    return file.path.ends_with(".safetensors") || file.path.ends_with(".gguf") ? 1 : 0;
  };
  std::stable_sort(files.begin(), files.end(),
                   [&](const HubFile& a, const HubFile& b) { return rank(a) < rank(b); });
  for (const HubFile& file : files) repository.link(commit, file);
  sync_folder(repository.snapshot(commit));
}

// While a pull has it, tq rm takes nothing of the repository away.
FileLock lock_repository(const RepositoryCache& repository, const PullOptions& options) {
  bool waits = false;
  while (true) {
    auto lock = FileLock::try_take(repository.use_lock(), FileLock::Kind::kShared);
    if (lock) return *std::move(lock);
    if (!waits)
      info("waiting for another program that removes some of {}", repository.folder().string());
    waits = true;
    if (options.cancelled && options.cancelled()) {
      fail(ErrorCode::kCancelled, "interrupted before anything was fetched");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

// What of the files is to be opened.
fs::path model_of(const fs::path& snapshot, const std::vector<std::string>& paths,
                  const HubName& name) {
  const bool wants_gguf = name.wants_gguf();
  if (!wants_gguf && !safetensors_weights(paths).empty()) return snapshot;
  const std::vector<GgufModel> models = gguf_models(paths);
  const GgufModel* model = choose_gguf_model(models, name);
  return model == nullptr ? fs::path() : snapshot / model->paths.front();
}

}  // namespace

PullReport pull(const HubEnvironment& environment, const HubName& name,
                const PullOptions& options) {
  if (environment.offline) {
    if (!options.include.empty()) fail_offline(environment, name);
    return pull_offline(environment, name);
  }
  const auto client = make_hub_client({environment.endpoint, environment.token});
  const Listing listing = ask_listing(*client, environment, name, options);
  const FileChoice choice = choose_files(listing, name, options.include);
  if (!choice.note.empty()) info("{}", choice.note);

  const RepositoryCache repository(environment.cache, name.repository);
  repository.check_ref(revision_of(name));
  const FileLock lock = lock_repository(repository, options);
  repository.make(listing.commit);
  const std::vector<DownloadItem> items =
      items_to_fetch(repository, listing, choice.files, environment, name);
  check_space(repository.folder() / "blobs", items, name);

  PullReport report;
  report.commit = listing.commit;
  report.snapshot = repository.snapshot(listing.commit);
  report.fetched =
      download(*client, items, {options.connections, options.cancelled, options.progress},
               environment, name);
  link_files(repository, listing.commit, choice.files);
  repository.set_ref(revision_of(name), listing.commit);
  for (const HubFile& file : choice.files) {
    report.files.push_back(file.path);
    report.bytes += file.size;
  }
  report.model = model_of(report.snapshot, report.files, name);
  return report;
}

fs::path find_or_pull(const HubName& name, const PullOptions& options) {
  if (const auto cached = find_cached_model(hub_cache_folder(), name)) {
    if (!cached->note.empty()) info("{}", cached->note);
    return cached->path;
  }
  const PullReport report = pull(read_hub_environment(), name, options);
  info("{}: {} in {}", name.text(), human_bytes(static_cast<double>(report.bytes)),
       report.snapshot.string());
  return report.model;
}

}  // namespace tq
