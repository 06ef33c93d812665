#include "convert/source_identity.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/error.h"
#include "convert/side_files.h"
#include "io/native/content_hash.h"

namespace tq {
namespace {

constexpr uint64_t kWholeBytes = uint64_t{64} << 20;
constexpr uint64_t kEndBytes = uint64_t{1} << 20;
constexpr uint64_t kPieces = 512;
constexpr uint64_t kSampleBytes = 4096;
constexpr uint64_t kReadBytes = uint64_t{4} << 20;

class SourceFile {
 public:
  explicit SourceFile(const fs::path& path)
      : path_(path), fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (fd_ < 0 && errno == ENOENT) fail(ErrorCode::kNotFound, "{}: no such file", path.string());
    if (fd_ < 0) fail_errno(errno, path.string());
  }
  ~SourceFile() { ::close(fd_); }
  SourceFile(const SourceFile&) = delete;
  SourceFile& operator=(const SourceFile&) = delete;

  std::string identity() {
    struct stat info {};
    if (::fstat(fd_, &info) != 0) fail_errno(errno, path_.string());
    const auto size = static_cast<uint64_t>(info.st_size);
    if (size <= kWholeBytes) {
      add(0, size);
    } else {
      add(0, kEndBytes);
      for (uint64_t i = 0; i < kPieces; ++i) add(size / kPieces * i, kSampleBytes);
      add(size - kEndBytes, kEndBytes);
    }
    return fmt::format("{} bytes, modified {}.{:09}, content {}", size, info.st_mtim.tv_sec,
                       info.st_mtim.tv_nsec, hash_.hex());
  }

 private:
  // Hashes bytes [offset, offset + n), as far as the file has them.
  void add(uint64_t offset, uint64_t n) {
    buffer_.resize(std::min(n, kReadBytes));
    while (n > 0) {
      const ssize_t got = ::pread(fd_, buffer_.data(), std::min<uint64_t>(n, buffer_.size()),
                                  static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail_errno(errno, path_.string());
      if (got == 0) return;
      hash_.update({buffer_.data(), static_cast<size_t>(got)});
      offset += static_cast<uint64_t>(got);
      n -= static_cast<uint64_t>(got);
    }
  }

  const fs::path& path_;
  int fd_;
  ContentHash hash_;
  std::vector<uint8_t> buffer_;
};

}  // namespace

Json source_identity(const Checkpoint& source) {
  Json files = Json::object();
  for (const fs::path& path : source.files()) {
    files[base_name(path)] = SourceFile(path).identity();
  }
  return files;
}

}  // namespace tq
