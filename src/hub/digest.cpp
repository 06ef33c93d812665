#include "hub/digest.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/check.h"
#include "base/error.h"

namespace tq {

struct Digest::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Digest::Digest(DigestKind kind, int64_t size) : state_(std::make_unique<State>()) {
  const EVP_MD* algorithm = kind == DigestKind::kSha256 ? EVP_sha256() : EVP_sha1();
  if (state_->context == nullptr || EVP_DigestInit_ex(state_->context, algorithm, nullptr) != 1) {
    fail(ErrorCode::kUnsupported, "OpenSSL here has no {}, which checking downloads takes",
         kind == DigestKind::kSha256 ? "SHA-256" : "SHA-1");
  }
  if (kind == DigestKind::kGitBlob) {
    const std::string header = "blob " + std::to_string(size);
    add({reinterpret_cast<const uint8_t*>(header.c_str()), header.size() + 1});
  }
}

Digest::~Digest() = default;
Digest::Digest(Digest&&) noexcept = default;
Digest& Digest::operator=(Digest&&) noexcept = default;

void Digest::add(std::span<const uint8_t> bytes) {
  TQ_CHECK(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1, "a hash failed");
}

std::string Digest::finish() {
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned n = 0;
  TQ_CHECK(EVP_DigestFinal_ex(state_->context, bytes, &n) == 1, "a hash failed");
  std::string text;
  for (unsigned i = 0; i < n; ++i) text += fmt::format("{:02x}", bytes[i]);
  return text;
}

FileDigest::FileDigest(DigestKind kind, int64_t size, int fd)
    : digest_(kind, size), size_(size), fd_(fd), thread_([this] { run(); }) {}

FileDigest::~FileDigest() {
  stop_ = true;
  there_ = size_;
  there_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void FileDigest::advance(int64_t n) {
  if (n == there_) return;
  there_ = n;
  there_.notify_all();
}

// Hashes what fits into the buffer, from `at` on; false when it should stop.
bool FileDigest::hash_some(std::span<uint8_t> buffer, int64_t& at) {
  for (int64_t there = there_; there <= at; there = there_) there_.wait(there);
  if (stop_) return false;
  const auto most = std::min<int64_t>(static_cast<int64_t>(buffer.size()), there_ - at);
  const ssize_t n = ::pread(fd_, buffer.data(), static_cast<size_t>(most), at);
  if (n < 0 && errno == EINTR) return true;
  if (n < 0) fail_errno(errno, "reading what was downloaded");
  if (n == 0)
    fail(ErrorCode::kIo,
         "another program cut the file while it was downloaded; stop that, and pull again");
  digest_.add(buffer.first(static_cast<size_t>(n)));
  at += n;
  write_out(at);
  return true;
}

// Starts writing the first bytes to the disk, so that little is left for the end.
void FileDigest::write_out(int64_t at) {
  constexpr int64_t kBytes = int64_t{8} << 20;
  if (at - written_out_ < kBytes) return;
  ::sync_file_range(fd_, written_out_, at - written_out_, SYNC_FILE_RANGE_WRITE);  // advice only
  written_out_ = at;
}

void FileDigest::run() {
  try {
    std::vector<uint8_t> buffer(static_cast<size_t>(std::min<int64_t>(size_, int64_t{1} << 20)));
    for (int64_t at = 0; at < size_;) {
      if (!hash_some(buffer, at)) return;
    }
    result_ = digest_.finish();
    if (::fdatasync(fd_) != 0) fail_errno(errno, "writing what was downloaded");
  } catch (...) {
    error_ = std::current_exception();
  }
  done_ = true;
}

std::string FileDigest::result() {
  if (thread_.joinable()) thread_.join();
  if (error_) std::rethrow_exception(error_);
  return result_;
}

}  // namespace tq
