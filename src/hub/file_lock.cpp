#include "hub/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/error.h"

namespace tq {
namespace {

// Whether the path still names the open file: who had the lock may have removed it.
bool is_still(int fd, const fs::path& path) {
  struct stat open_file {};
  struct stat named {};
  return ::fstat(fd, &open_file) == 0 && ::stat(path.c_str(), &named) == 0 &&
         open_file.st_ino == named.st_ino && open_file.st_dev == named.st_dev;
}

}  // namespace

std::optional<FileLock> FileLock::try_take(const fs::path& path, Kind kind) {
  constexpr int kAttempts = 100;
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  if (error) fail_errno(error.value(), path.parent_path().string());
  for (int i = 0; i < kAttempts; ++i) {
    FileLock lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0664));
    if (lock.fd_ < 0) fail_errno(errno, path.string());
    if (::flock(lock.fd_, (kind == Kind::kAlone ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) return std::nullopt;
      if (errno == EINTR) continue;
      fail_errno(errno, path.string() + ": lock");
    }
    if (is_still(lock.fd_, path)) return lock;
  }
  return std::nullopt;
}

FileLock::~FileLock() {
  if (fd_ >= 0) ::close(fd_);
}

FileLock::FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

}  // namespace tq
