// Files: read-only mappings, whole small files, and crash-safe writing (temp file, fsync, rename).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace tq {

namespace fs = std::filesystem;

// A read-only mapping of a whole regular file. Owns mapping and descriptor; const and thread safe
// after opening. An empty file maps to an empty span.
class MappedFile {
 public:
  MappedFile() = default;
  // Throws kNotFound, kIo, or kInvalidArgument for what is not a regular file.
  explicit MappedFile(const fs::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const uint8_t> bytes() const { return {data_, size_}; }
  const fs::path& path() const { return path_; }
  // Copies bytes [offset, offset + out.size()), which must be in the file. For much that is read
  // once: reading the mapping makes page table entries, and takes as long again to undo. Throws
  // kIo; kCorrupt when the file has shrunk.
  void read_at(uint64_t offset, std::span<uint8_t> out) const;
  // Tells the kernel that [offset, offset + size) will not be needed again soon, so that streaming
  // through a large file does not grow the resident set. Advice only; never fails.
  void drop(size_t offset, size_t size) const;
  // Asks for read-ahead of the range. Advice only.
  void prefetch(size_t offset, size_t size) const;

 private:
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
  int fd_ = -1;
  fs::path path_;
};

// "is a link to X, which does not exist: ..." for a dangling link, else nothing.
std::string dangling_link(const fs::path& path);

// The whole file as a string; throws kNotFound, kIo, or kCorrupt when it exceeds max_bytes.
std::string read_text_file(const fs::path& path, int64_t max_bytes = int64_t{64} << 20);

// Writes bytes to path so that a crash leaves the old content or the new, never a part: a temporary
// file beside it, fsync, rename, fsync of the folder. Throws kIo or kNoSpace and removes the
// temporary.
void write_file_atomic(const fs::path& path, std::string_view bytes);

// A file being written at known offsets, durable after sync(). Owns the descriptor.
class OutputFile {
 public:
  enum class Mode { kCreate, kReopen };  // kCreate truncates; kReopen keeps what is there
  explicit OutputFile(const fs::path& path, Mode mode = Mode::kCreate);
  ~OutputFile();
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  OutputFile(const OutputFile&) = delete;

  // Writes all bytes at the offset. Thread safe. Throws kIo or kNoSpace.
  void write_at(uint64_t offset, std::span<const uint8_t> bytes);
  // Reserves space for the file's final size (fallocate where the file system can; else sets the
  // size).
  void allocate(uint64_t size_bytes);
  void truncate(uint64_t size_bytes);
  void sync();
  const fs::path& path() const { return path_; }

 private:
  int fd_ = -1;
  fs::path path_;
};

// rename(2) followed by fsync of the folder that now holds `to`.
void rename_durable(const fs::path& from, const fs::path& to);

}  // namespace tq
