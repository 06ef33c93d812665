// A lock that processes take on a file (flock), as the filelock package of Python does: one that
// Hugging Face's tools hold counts for tq, and the other way round. The kernel drops it when the
// process ends, however it does.
#pragma once

#include <cstdint>
#include <optional>

#include "base/file.h"

namespace tq {

class FileLock {
 public:
  enum class Kind : uint8_t { kAlone, kShared };

  // Takes the lock, making the file and the folders above it, if no other process has it, or of a
  // shared one only others that share it. Throws kIo.
  static std::optional<FileLock> try_take(const fs::path& path, Kind kind = Kind::kAlone);
  ~FileLock();
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) noexcept;
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace tq
