// The hashes that files of a hub are known by, by OpenSSL; in a build without it (TQ_HUB) all throw
// kUnsupported.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <string>
#include <thread>

#include "base/file.h"

namespace tq {

enum class DigestKind : uint8_t {
  kSha256,   // of the bytes: what Git LFS stores
  kGitBlob,  // SHA-1 of "blob SIZE" with a zero byte and the bytes: what git calls a file's content
};

class Digest {
 public:
  // size: of all that will be added.
  Digest(DigestKind kind, int64_t size);
  ~Digest();
  Digest(Digest&&) noexcept;
  Digest& operator=(Digest&&) noexcept;

  void add(std::span<const uint8_t> bytes);
  // In lower case hexadecimal. Once.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Hashes a file while it is written, on a thread of its own, as far as it is there from its
// beginning on, and brings it to the disk, so that who writes it need not wait for either. The
// caller's thread drives it.
class FileDigest {
 public:
  // Reads from the descriptor, which must outlive it.
  FileDigest(DigestKind kind, int64_t size, int fd);
  ~FileDigest();  // stops early
  FileDigest(const FileDigest&) = delete;
  FileDigest& operator=(const FileDigest&) = delete;

  // The first n bytes are there and will not change. Never less than before.
  void advance(int64_t n);
  // Whether result() has something to say, all bytes being there and on the disk.
  bool done() const { return done_; }
  // Waits for it. Throws kIo when the file could not be read.
  std::string result();

 private:
  void run();
  bool hash_some(std::span<uint8_t> buffer, int64_t& at);
  void write_out(int64_t at);

  Digest digest_;
  const int64_t size_;
  const int fd_;
  std::atomic<int64_t> there_ = 0;
  int64_t written_out_ = 0;  // the thread's: the disk was told to take them
  std::atomic<bool> stop_ = false;
  std::atomic<bool> done_ = false;
  std::string result_;
  std::exception_ptr error_;
  std::thread thread_;
};

}  // namespace tq
