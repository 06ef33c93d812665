#include "convert/destination.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/error.h"
#include "convert/journal.h"
#include "convert/shards.h"
#include "io/native/native_manifest.h"

namespace tq {
namespace {

// The path with all links resolved as far as it exists.
fs::path resolved(const fs::path& path) {
  std::error_code error;
  fs::path out = fs::weakly_canonical(path, error);
  if (error) out = fs::absolute(path, error).lexically_normal();
  return out.has_filename() ? out : out.parent_path();  // without a trailing slash
}

bool is_within(const fs::path& path, const fs::path& folder) {
  return std::mismatch(folder.begin(), folder.end(), path.begin(), path.end()).first ==
         folder.end();
}

uint64_t statvfs_free_bytes(const fs::path& folder) {
  struct statvfs info {};
  if (::statvfs(folder.c_str(), &info) != 0) fail_errno(errno, folder.string());
  return uint64_t{info.f_bavail} * info.f_frsize;
}

// The folder itself or the nearest one above it that exists.
fs::path existing_folder(const fs::path& folder) {
  std::error_code error;
  fs::path at = fs::absolute(folder, error);
  while (at.has_relative_path() && !fs::is_directory(at, error)) at = at.parent_path();
  return at;
}

// Of "folder/name" the folder, of "name" nothing.
std::string folder_part(const std::string& name) {
  const size_t slash = name.find('/');
  return slash == std::string::npos ? "" : name.substr(0, slash);
}

double gigabytes(uint64_t bytes) { return static_cast<double>(bytes) * 1e-9; }

}  // namespace

std::string staged_name(const std::string& name) {
  std::string staged = name;
  const size_t slash = staged.find('/');
  return slash == std::string::npos ? staged : staged.replace(slash, 1, "%2F");
}

Destination::Destination(fs::path folder) : path_(std::move(folder)) {
  if (!is_there(path_)) {
    std::error_code error;
    if (fs::is_symlink(path_, error)) {
      fail(ErrorCode::kInvalidArgument, "{}: is a link to nothing; choose another destination",
           path_.string());
    }
    return;
  }
  if (!is_folder(path_)) {
    fail(ErrorCode::kInvalidArgument, "{}: exists and is not a folder; choose another destination",
         path_.string());
  }
  folder_.emplace(path_);
  if (folder_->entry(kWorkFolderName) == FolderHandle::Entry::kNone) return;
  work_.emplace(folder_->open_folder(kWorkFolderName));
}

void Destination::refuse_overlap(const Checkpoint& source) const {
  const fs::path destination = resolved(path_);
  std::vector<fs::path> inputs = source.files();
  if (!inputs.empty()) inputs.push_back(source.path());  // a synthetic model lies nowhere
  for (const fs::path& input : inputs) {
    const fs::path from = resolved(input);
    if (is_within(from, destination) || is_within(destination, from)) {
      fail(ErrorCode::kInvalidArgument,
           "{}: is, holds or lies in the source {}; choose a folder apart from it", path_.string(),
           input.string());
    }
  }
}

FolderHandle::Entry Destination::entry(const std::string& name) const {
  return folder_ ? folder_->entry(name) : FolderHandle::Entry::kNone;
}

void Destination::refuse_taken(const DestinationClaim& claim) const {
  if (!folder_) return;
  if (entry(kNativeConfigName) != FolderHandle::Entry::kNone) {
    if (claim.overwrite) return;
    fail(ErrorCode::kInvalidArgument,
         "{}: already holds a complete checkpoint; --overwrite replaces it", path_.string());
  }
  for (const std::string& name : folder_->names()) {
    if (name == kWorkFolderName) continue;
    // Work of ours does not mean that what was put beside it meanwhile is ours.
    const bool wanted = std::any_of(
        claim.new_files.begin(), claim.new_files.end(),
        [&](const std::string& file) { return file == name || folder_part(file) == name; });
    if (claim.known_work && !wanted) continue;
    fail(ErrorCode::kInvalidArgument,
         "{}: holds files that are no checkpoint of ours ({}); choose an empty or a new folder",
         path_.string(), name);
  }
}

void Destination::check_space(uint64_t file_bytes,
                              const std::function<uint64_t(const fs::path&)>& free_bytes) const {
  const fs::path folder = existing_folder(path_);
  const uint64_t free = free_bytes ? free_bytes(folder) : statvfs_free_bytes(folder);
  uint64_t written = 0;
  if (work_) {
    for (const std::string& name : work_->names()) written += work_->allocated_bytes(name);
  }
  const uint64_t needed = file_bytes - std::min(file_bytes, written);
  if (needed <= free) return;
  fail(ErrorCode::kNoSpace,
       "{}: {:.3f} GB needed, {:.3f} GB free; free space or choose another disk", path_.string(),
       gigabytes(needed), gigabytes(free));
}

void Destination::remove_empty_work() {
  if (work_ && work_->names().empty() && folder_->remove_folder(kWorkFolderName)) work_.reset();
}

void Destination::create() {
  if (!folder_) {
    make_folders(path_);
    folder_.emplace(path_);
    created_ = true;
  }
  if (work_) return;
  folder_->make_folder(kWorkFolderName);
  work_.emplace(folder_->open_folder(kWorkFolderName));
  folder_->sync();
}

void Destination::discard_work() {
  if (!work_) return;
  clear_work(kJournalName);  // it goes last: without it nothing says that the rest is ours
  work_->sync();
  clear_work("");
  work_.reset();
  folder_->remove_folder(kWorkFolderName);  // stays when something foreign is in it
  if (!created_) return;
  std::error_code error;
  fs::remove(path_, error);  // refuses a folder that is not empty
}

std::vector<std::string> Destination::stale_files(const std::vector<std::string>& new_files) const {
  if (entry(kNativeConfigName) != FolderHandle::Entry::kFile) return {};
  std::vector<std::string> stale = {kNativeConfigName, kIndexName};
  try {
    const auto old = open_checkpoint(path_);
    for (std::string& name : old->text_files()) stale.push_back(std::move(name));
    for (const fs::path& file : old->files()) stale.push_back(file.filename());
  } catch (const Error&) {
    // A damaged checkpoint is replaced too; those of its files that have other names stay.
  }
  std::erase_if(stale, [&](const std::string& name) {
    return std::find(new_files.begin(), new_files.end(), name) != new_files.end() &&
           name != kNativeConfigName;
  });
  return stale;
}

bool Destination::is_staged(const std::string& name) const {
  return work_ && work_->entry(staged_name(name)) == FolderHandle::Entry::kFile;
}

void Destination::remove_files(const std::vector<std::string>& names) const {
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string inner = folder_part(names[i]);
    if (inner.empty()) {
      folder_->remove_file(names[i]);
    } else if (entry(inner) != FolderHandle::Entry::kNone) {
      folder_->open_folder(inner).remove_file(names[i].substr(inner.size() + 1));
      folder_->remove_folder(inner);  // stays when something else is in it
    }
    if (i == 0 || i + 1 == names.size()) folder_->sync();
  }
}

void Destination::put_in_place(const std::vector<std::string>& names) const {
  for (size_t i = 0; i < names.size(); ++i) {
    if (i + 1 == names.size()) folder_->sync();
    const std::string inner = folder_part(names[i]);
    if (inner.empty()) {
      put_in_place(names[i], *folder_, names[i]);
      continue;
    }
    if (entry(inner) == FolderHandle::Entry::kNone) folder_->make_folder(inner);
    const FolderHandle folder = folder_->open_folder(inner);
    put_in_place(names[i], folder, names[i].substr(inner.size() + 1));
    folder.sync();
  }
  folder_->sync();
}

void Destination::put_in_place(const std::string& name, const FolderHandle& folder,
                               const std::string& plain) const {
  if (is_staged(name)) {
    work_->move_file(staged_name(name), folder, plain);
  } else if (folder.entry(plain) != FolderHandle::Entry::kFile) {
    fail(ErrorCode::kNotFound, "{}: the finished file is gone; give --no-resume to start over",
         (work_folder() / staged_name(name)).string());
  }
}

void Destination::clear_work(const std::string& keep) const {
  for (const std::string& name : work_->names()) {
    if (name != keep && work_->entry(name) == FolderHandle::Entry::kFile) {
      work_->remove_file(name);
    }
  }
}

}  // namespace tq
