#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/file_faults.h"
#include "base/nearest.h"

namespace tq {
namespace {

// An open descriptor that closes itself.
struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

[[noreturn]] void fail_open(const fs::path& path) {
  const int error = errno;
  if (error == ENOENT || error == ENOTDIR) {
    const std::string dangling = dangling_link(path);
    fail(ErrorCode::kNotFound, "{}: {}", path.string(),
         dangling.empty() ? "no such file" + sibling_hint(path) : dangling);
  }
  fail_errno(error, path.string());
}

size_t open_regular(const fs::path& path, Descriptor& file) {
  file.fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file.fd < 0) fail_open(path);
  struct stat info {};
  if (::fstat(file.fd, &info) != 0) fail_errno(errno, path.string());
  if (!S_ISREG(info.st_mode)) {
    fail(ErrorCode::kInvalidArgument, "{}: not a regular file", path.string());
  }
  return static_cast<size_t>(info.st_size);
}

// Fills `out` from the offset on; returns how many bytes there are, fewer only at the end.
size_t read_descriptor(int fd, uint64_t offset, std::span<uint8_t> out, const fs::path& path) {
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t n =
        ::pread(fd, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_errno(errno, path.string() + ": read");
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

std::optional<struct stat> look(const fs::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0) return info;
  if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
  fail_errno(errno, path.string());
}

// The file that writing to `path` is to replace, with links followed as a shell's redirection
// would.
fs::path file_to_replace(const fs::path& path) {
  std::error_code error;
  if (!fs::is_symlink(path, error)) return path;
  const std::string dangling = dangling_link(path);
  if (!dangling.empty()) {
    fail(ErrorCode::kInvalidArgument, "{}: is a link to nothing; remove it or name another file",
         path.string());
  }
  const fs::path target = fs::canonical(path, error);
  if (error) fail_errno(error.value(), path.string());
  return target;
}

// A name that nothing had before, in the folder of `path`, and its open file.
int create_temporary(const fs::path& path, std::string& name) {
  static std::atomic<uint64_t> count{0};
  constexpr int kAttempts = 100;
  const fs::path folder = path.parent_path();
  for (int i = 0; i < kAttempts; ++i) {
    const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
    name = (folder / fmt::format(".tq-{}-{:x}-{}.tmp", ::getpid(), now, count++)).string();
    const int fd = ::open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd >= 0) return fd;
    if (errno != EEXIST) break;
  }
  fail_errno(errno, path.string() + ": cannot be written");
}

}  // namespace

MappedFile::MappedFile(const fs::path& path) : path_(path) {
  Descriptor file;
  size_ = open_regular(path, file);
  if (size_ == 0) return;
  void* address = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.fd, 0);
  if (address == MAP_FAILED) fail_errno(errno, path.string() + ": mmap");
  data_ = static_cast<const uint8_t*>(address);
  add_file_mapping(data_, size_, path);
  fd_ = std::exchange(file.fd, -1);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) {
    remove_file_mapping(data_);
    ::munmap(const_cast<uint8_t*>(data_), size_);
  }
  if (fd_ >= 0) ::close(fd_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      fd_(std::exchange(other.fd_, -1)),
      path_(std::move(other.path_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(fd_, other.fd_);
  std::swap(path_, other.path_);
  return *this;
}

void MappedFile::read_at(uint64_t offset, std::span<uint8_t> out) const {
  const size_t n = read_descriptor(fd_, offset, out, path_);
  if (n == out.size()) return;
  fail(ErrorCode::kCorrupt, "{}: it ends at byte {}, where it had more", path_.string(),
       offset + n);
}

void MappedFile::drop(size_t offset, size_t size) const {
  if (data_ == nullptr || offset >= size_) return;
  const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const size_t begin = (offset + page - 1) / page * page;
  const size_t end = (offset + std::min(size, size_ - offset)) / page * page;
  if (end > begin) (void)::madvise(const_cast<uint8_t*>(data_) + begin, end - begin, MADV_DONTNEED);
}

void MappedFile::prefetch(size_t offset, size_t size) const {
  if (data_ == nullptr || offset >= size_) return;
  const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const size_t begin = offset / page * page;
  const size_t end = offset + std::min(size, size_ - offset);
  (void)::madvise(const_cast<uint8_t*>(data_) + begin, end - begin, MADV_WILLNEED);
}

bool is_file(const fs::path& path) {
  const auto info = look(path);
  return info && S_ISREG(info->st_mode);
}

bool is_folder(const fs::path& path) {
  const auto info = look(path);
  return info && S_ISDIR(info->st_mode);
}

bool is_there(const fs::path& path) { return look(path).has_value(); }

std::string dangling_link(const fs::path& path) {
  std::error_code error;
  if (!fs::is_symlink(path, error) || fs::exists(path, error)) return "";
  return fmt::format(
      "is a link to {}, which does not exist: the cache was moved, cleared or is not complete; "
      "fetch the model again",
      fs::read_symlink(path, error).string());
}

std::string read_text_file(const fs::path& path, int64_t max_bytes) {
  Descriptor file;
  const size_t size = open_regular(path, file);
  if (static_cast<int64_t>(size) > max_bytes) {
    fail(ErrorCode::kCorrupt, "{}: {} bytes, more than the {} such a file may have", path.string(),
         size, max_bytes);
  }
  constexpr size_t kRoomBehind = 64;  // parsers that read whole blocks need no copy with it
  std::string text;
  text.reserve(size + kRoomBehind);
  text.resize(size);
  text.resize(read_descriptor(file.fd, 0, {reinterpret_cast<uint8_t*>(text.data()), size}, path));
  return text;
}

void write_file_atomic(const fs::path& path, std::string_view bytes) {
  ReplacementFile file(path);
  file.write_at(0, {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  file.commit();
}

ReplacementFile::ReplacementFile(const fs::path& path) {
  struct stat info {};
  const bool there = ::stat(path.c_str(), &info) == 0;
  if (there && S_ISDIR(info.st_mode)) {
    fail(ErrorCode::kInvalidArgument, "{}: is a folder, not a file to write", path.string());
  }
  if (there && !S_ISREG(info.st_mode)) {
    in_place_ = true;
    const int fd = ::open(path.c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) fail_errno(errno, path.string());
    out_ = std::make_unique<OutputFile>(fd, path);
    return;
  }
  path_ = file_to_replace(path);
  const int fd = create_temporary(path_, temporary_);
  out_ = std::make_unique<OutputFile>(fd, path_);
}

ReplacementFile::~ReplacementFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void ReplacementFile::allocate(uint64_t size_bytes) {
  if (!in_place_) out_->allocate(size_bytes);
}

void ReplacementFile::commit() {
  if (in_place_) return;
  out_->sync();
  rename_durable(temporary_, path_);
  temporary_.clear();
}

OutputFile::~OutputFile() {
  if (fd_ >= 0) ::close(fd_);
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}

void OutputFile::write_at(uint64_t offset, std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    ssize_t n = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == ESPIPE) n = ::write(fd_, bytes.data(), bytes.size());  // pipes: in order
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_errno(errno, path_.string() + ": write");
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
}

size_t OutputFile::read_at(uint64_t offset, std::span<uint8_t> out) const {
  return read_descriptor(fd_, offset, out, path_);
}

void OutputFile::allocate(uint64_t size_bytes) {
  if (size_bytes == 0) return;
  int error = 0;
  do {
    error = ::posix_fallocate(fd_, 0, static_cast<off_t>(size_bytes));
  } while (error == EINTR);
  if (error == EOPNOTSUPP || error == EINVAL) return truncate(size_bytes);
  if (error != 0) fail_errno(error, path_.string() + ": reserving space");
}

void OutputFile::truncate(uint64_t size_bytes) {
  if (::ftruncate(fd_, static_cast<off_t>(size_bytes)) != 0) fail_errno(errno, path_.string());
}

void OutputFile::sync() {
  if (::fsync(fd_) != 0) fail_errno(errno, path_.string() + ": fsync");
}

void sync_folder(const fs::path& folder) {
  const Descriptor dir{
      ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (dir.fd < 0) fail_errno(errno, folder.string());
  sync_folder(dir.fd, folder);
}

void sync_folder(int fd, const fs::path& folder) {
  if (::fsync(fd) == 0) return;
  // File systems that have no such thing say so; the rest are failures.
  if (errno == EINVAL || errno == ENOTSUP || errno == ENOSYS) return;
  fail_errno(errno, folder.string() + ": fsync");
}

void rename_durable(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    fail_errno(errno, from.string() + " -> " + to.string());
  }
  sync_folder(to.parent_path());
}

}  // namespace tq
