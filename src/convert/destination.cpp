#include "convert/destination.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>

#include "base/error.h"
#include "convert/shards.h"
#include "io/native_manifest.h"

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

uint64_t allocated_bytes(const fs::path& folder) {
  uint64_t bytes = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    struct stat info {};
    if (::stat(entry.path().c_str(), &info) == 0) {
      bytes += std::min(static_cast<uint64_t>(info.st_blocks) * 512,
                        static_cast<uint64_t>(info.st_size));
    }
  }
  return bytes;
}

double gigabytes(uint64_t bytes) { return static_cast<double>(bytes) * 1e-9; }

}  // namespace

void Destination::refuse_overlap(const Checkpoint& source) const {
  const fs::path destination = resolved(folder_);
  std::vector<fs::path> inputs = source.files();
  if (!inputs.empty()) inputs.push_back(source.path());  // a synthetic model lies nowhere
  for (const fs::path& input : inputs) {
    const fs::path from = resolved(input);
    if (is_within(from, destination) || is_within(destination, from)) {
      fail(ErrorCode::kInvalidArgument,
           "{}: is, holds or lies in the source {}; choose a folder apart from it",
           folder_.string(), input.string());
    }
  }
}

void Destination::refuse_taken(bool overwrite) const {
  std::error_code error;
  const fs::file_status status = fs::status(folder_, error);
  if (!fs::exists(status)) return;
  if (!fs::is_directory(status)) {
    fail(ErrorCode::kInvalidArgument, "{}: exists and is not a folder; choose another destination",
         folder_.string());
  }
  const bool work = has_work();  // refuses a link, whatever else is there
  if (fs::exists(folder_ / kNativeConfigName, error)) {
    if (overwrite) return;
    fail(ErrorCode::kInvalidArgument,
         "{}: already holds a complete checkpoint; --overwrite replaces it", folder_.string());
  }
  if (work) return;
  for (const auto& entry : fs::directory_iterator(folder_, error)) {
    // What a run that was killed at its very start leaves, if nothing else is there.
    if (entry.path().filename() == kWorkFolderName) continue;
    fail(ErrorCode::kInvalidArgument,
         "{}: holds files that are no checkpoint of ours; choose an empty or a new folder",
         folder_.string());
  }
}

bool Destination::has_work() const {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(work_folder(), error);
  if (!fs::exists(status)) return false;
  if (!fs::is_directory(status)) {
    fail(ErrorCode::kInvalidArgument,
         "{}: is a link or a file, where a folder of ours should be; remove it or choose another "
         "destination",
         work_folder().string());
  }
  const fs::path journal = work_file("journal");
  return fs::is_regular_file(fs::symlink_status(journal, error)) &&
         fs::file_size(journal, error) > 0;
}

void Destination::check_space(uint64_t file_bytes,
                              const std::function<uint64_t(const fs::path&)>& free_bytes) const {
  const fs::path folder = existing_folder(folder_);
  const uint64_t free = free_bytes ? free_bytes(folder) : statvfs_free_bytes(folder);
  const uint64_t needed = file_bytes - std::min(file_bytes, allocated_bytes(work_folder()));
  if (needed <= free) return;
  fail(ErrorCode::kNoSpace,
       "{}: {:.3f} GB needed, {:.3f} GB free; free space or choose another disk", folder_.string(),
       gigabytes(needed), gigabytes(free));
}

void Destination::create() {
  std::error_code error;
  const bool existed = fs::exists(folder_, error);
  fs::create_directories(work_folder(), error);
  if (error) fail_errno(error.value(), work_folder().string() + ": cannot be created");
  created_ = !existed;
}

void Destination::discard_work() {
  std::error_code error;
  fs::remove_all(work_folder(), error);
  if (created_) fs::remove(folder_, error);  // refuses a folder that is not empty
}

std::vector<std::string> Destination::stale_files(const std::vector<std::string>& new_files) const {
  std::error_code error;
  if (!fs::exists(folder_ / kNativeConfigName, error)) return {};
  std::vector<std::string> stale = {kIndexName};
  try {
    const auto old = open_checkpoint(folder_);
    for (std::string& name : old->text_files()) stale.push_back(std::move(name));
    for (const fs::path& file : old->files()) stale.push_back(file.filename());
  } catch (const Error&) {
    // A damaged checkpoint is replaced too; those of its files that have other names stay.
  }
  std::erase_if(stale, [&](const std::string& name) {
    return std::find(new_files.begin(), new_files.end(), name) != new_files.end();
  });
  stale.insert(stale.begin(), kNativeConfigName);
  return stale;
}

void Destination::remove_file(const std::string& name) const {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(folder_ / name, error);
  if (!fs::exists(status)) return;
  if (!fs::is_regular_file(status)) {
    fail(ErrorCode::kInvalidArgument, "{}: is no regular file and is left as it is; remove it",
         (folder_ / name).string());
  }
  fs::remove(folder_ / name, error);
  if (error) fail_errno(error.value(), (folder_ / name).string() + ": cannot be removed");
}

void Destination::put_in_place(const std::string& name) const {
  std::error_code error;
  if (fs::exists(work_file(name), error)) {
    rename_durable(work_file(name), folder_ / name);
  } else if (!fs::exists(folder_ / name, error)) {
    fail(ErrorCode::kNotFound, "{}: the finished file is gone; give --no-resume to start over",
         work_file(name).string());
  }
}

void Destination::clear_work(const std::string& keep) const {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(work_folder(), error)) {
    if (entry.path().filename() != keep) fs::remove_all(entry.path(), error);
  }
}

}  // namespace tq
