#include "base/folder_handle.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "base/check.h"
#include "base/error.h"

namespace tq {
namespace {

constexpr int kFolderFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

FolderHandle::Entry entry_of(mode_t mode) {
  if (S_ISREG(mode)) return FolderHandle::Entry::kFile;
  if (S_ISDIR(mode)) return FolderHandle::Entry::kFolder;
  if (S_ISLNK(mode)) return FolderHandle::Entry::kLink;
  return FolderHandle::Entry::kOther;
}

// Only what is not there is none: a call that fails otherwise must not pass for that.
std::optional<struct stat> look(int folder, const fs::path& path, const std::string& name) {
  TQ_CHECK(name.find('/') == std::string::npos, "{} is not a plain name", name);
  struct stat info {};
  if (::fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) return info;
  if (errno == ENOENT) return std::nullopt;
  fail_errno(errno, (path / name).string());
}

}  // namespace

FolderHandle::FolderHandle(const fs::path& path) : path_(path) {
  fd_ = ::open(path.empty() ? "." : path.c_str(), kFolderFlags);
  if (fd_ >= 0) return;
  if (errno == ENOENT) fail(ErrorCode::kNotFound, "{}: no such folder", path.string());
  fail_errno(errno, path.string());
}

FolderHandle::~FolderHandle() {
  if (fd_ >= 0) ::close(fd_);
}

FolderHandle::FolderHandle(FolderHandle&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}

FolderHandle& FolderHandle::operator=(FolderHandle&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(path_, other.path_);
  return *this;
}

FolderHandle::Entry FolderHandle::entry(const std::string& name) const {
  const auto info = look(fd_, path_, name);
  return info ? entry_of(info->st_mode) : Entry::kNone;
}

std::vector<std::string> FolderHandle::names() const {
  const int copy = ::openat(fd_, ".", kFolderFlags);  // a position of its own
  if (copy < 0) fail_errno(errno, path_.string());
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::fdopendir(copy), ::closedir);
  if (dir == nullptr) {
    const int error = errno;
    ::close(copy);
    fail_errno(error, path_.string());
  }
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(dir.get());  // NOLINT(concurrency-mt-unsafe): own stream
    if (entry == nullptr) break;
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  if (errno != 0) fail_errno(errno, path_.string());
  std::sort(names.begin(), names.end());
  return names;
}

std::optional<uint64_t> FolderHandle::file_size(const std::string& name) const {
  const auto info = look(fd_, path_, name);
  if (!info || !S_ISREG(info->st_mode)) return std::nullopt;
  return static_cast<uint64_t>(info->st_size);
}

uint64_t FolderHandle::allocated_bytes(const std::string& name) const {
  const auto info = look(fd_, path_, name);
  if (!info || !S_ISREG(info->st_mode)) return 0;
  constexpr uint64_t kStatBlock = 512;
  return std::min(static_cast<uint64_t>(info->st_blocks) * kStatBlock,
                  static_cast<uint64_t>(info->st_size));
}

void FolderHandle::refuse(const std::string& name) const {
  const Entry found = entry(name);
  fail(ErrorCode::kInvalidArgument,
       "{}: is {}, where a {} of ours should be; it is left as it is: remove it or choose another "
       "folder",
       (path_ / name).string(),
       found == Entry::kLink     ? "a link"
       : found == Entry::kFolder ? "a folder"
       : found == Entry::kFile   ? "a file"
                                 : "a device, pipe or socket",
       found == Entry::kFile ? "folder" : "file or folder");
}

FolderHandle FolderHandle::open_folder(const std::string& name) const {
  const int fd = ::openat(fd_, name.c_str(), kFolderFlags | O_NOFOLLOW);
  if (fd >= 0) return {fd, path_ / name};
  const int error = errno;
  if (error == ENOTDIR || error == ELOOP) refuse(name);
  if (error == ENOENT) {
    fail(ErrorCode::kNotFound, "{}: no such folder", (path_ / name).string());
  }
  fail_errno(error, (path_ / name).string());
}

void FolderHandle::make_folder(const std::string& name) const {
  if (::mkdirat(fd_, name.c_str(), 0777) != 0) {
    fail_errno(errno, (path_ / name).string() + ": cannot be created");
  }
}

int FolderHandle::open_file(const std::string& name, int flags) const {
  // O_NONBLOCK: a pipe of that name does not hang the open.
  const int fd = ::openat(fd_, name.c_str(), flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) {
    const int error = errno;
    if (error == ENOENT) return -1;
    if (error == ELOOP || error == ENXIO || error == EISDIR) refuse(name);
    fail_errno(error, (path_ / name).string());
  }
  struct stat info {};
  const bool regular = ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  if (!regular) {
    ::close(fd);
    refuse(name);
  }
  return fd;
}

OutputFile FolderHandle::create_file(const std::string& name) const {
  remove_file(name);
  const int fd =
      ::openat(fd_, name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (fd < 0) fail_errno(errno, (path_ / name).string());
  return {fd, path_ / name};
}

void FolderHandle::write_file(const std::string& name, std::string_view bytes) const {
  OutputFile out = create_file(name);
  out.write_at(0, {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  out.sync();
}

void FolderHandle::move_file(const std::string& name, const FolderHandle& to,
                             const std::string& to_name) const {
  const Entry there = to.entry(to_name);
  if (there != Entry::kNone && there != Entry::kFile) to.refuse(to_name);
  if (::renameat(fd_, name.c_str(), to.fd_, to_name.c_str()) != 0) {
    fail_errno(errno, (path_ / name).string() + " -> " + (to.path_ / to_name).string());
  }
}

void FolderHandle::remove_file(const std::string& name) const {
  const Entry there = entry(name);
  if (there == Entry::kNone) return;
  if (there != Entry::kFile) refuse(name);
  if (::unlinkat(fd_, name.c_str(), 0) != 0 && errno != ENOENT) {
    fail_errno(errno, (path_ / name).string() + ": cannot be removed");
  }
}

bool FolderHandle::remove_folder(const std::string& name) const {
  return ::unlinkat(fd_, name.c_str(), AT_REMOVEDIR) == 0;
}

void FolderHandle::sync() const { sync_folder(fd_, path_); }

void make_folders(const fs::path& path) {
  if (is_folder(path)) return;
  if (is_there(path)) fail_errno(ENOTDIR, path.string());
  const fs::path clean = path.has_filename() ? path : path.parent_path();  // no trailing slash
  const fs::path above = clean.parent_path();
  if (!above.empty() && above != clean) make_folders(above);
  const FolderHandle parent(above);
  if (clean.filename() == "." || clean.filename() == "..") return;
  parent.make_folder(clean.filename());
  parent.sync();
}

}  // namespace tq
