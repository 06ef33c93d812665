// Files: read-only mappings, whole small files, and crash-safe writing (temp file, fsync, rename).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

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

// Whether there is a regular file, a folder, anything, links followed. What cannot be looked at is
// an error and not absent: a tokenizer would be lost without a word. Throws kIo, kInvalidArgument.
bool is_file(const fs::path& path);
bool is_folder(const fs::path& path);
bool is_there(const fs::path& path);

// "is a link to X, which does not exist: ..." for a dangling link, else nothing.
std::string dangling_link(const fs::path& path);

// The whole file as a string; throws kNotFound, kIo, or kCorrupt when it exceeds max_bytes.
std::string read_text_file(const fs::path& path, int64_t max_bytes = int64_t{64} << 20);

// Writes bytes to path so that a crash leaves the old content or the new, never a part: a new
// temporary file beside it, fsync, rename, fsync of the folder. Of a link the file that it names is
// replaced. Devices and pipes are written to as they are. Throws kInvalidArgument for a folder and
// a dangling link, kIo or kNoSpace, and removes the temporary.
void write_file_atomic(const fs::path& path, std::string_view bytes);

// A file being written at known offsets, durable after sync(). Owns the descriptor.
class OutputFile {
 public:
  // Takes the descriptor of a file that was opened for reading and writing.
  OutputFile(int fd, fs::path path) : fd_(fd), path_(std::move(path)) {}
  ~OutputFile();
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  OutputFile(const OutputFile&) = delete;

  // Writes all bytes at the offset. Thread safe. Throws kIo or kNoSpace.
  void write_at(uint64_t offset, std::span<const uint8_t> bytes);
  // Fills `out` from the offset on; returns how many bytes there are, fewer only at the end. Throws
  // kIo.
  size_t read_at(uint64_t offset, std::span<uint8_t> out) const;
  // Reserves space for the file's final size (fallocate where the file system can; else sets the
  // size).
  void allocate(uint64_t size_bytes);
  void truncate(uint64_t size_bytes);
  // Throws kIo.
  void sync();
  int fd() const { return fd_; }
  const fs::path& path() const { return path_; }

 private:
  int fd_ = -1;
  fs::path path_;
};

// A file that is written under a temporary name beside its place and takes the place when it is
// whole: see write_file_atomic. The temporary goes when it does not come to that.
class ReplacementFile {
 public:
  explicit ReplacementFile(const fs::path& path);
  ~ReplacementFile();
  ReplacementFile(const ReplacementFile&) = delete;
  ReplacementFile& operator=(const ReplacementFile&) = delete;

  void write_at(uint64_t offset, std::span<const uint8_t> bytes) { out_->write_at(offset, bytes); }
  // Reserves space for the final size; of a device there is none to reserve.
  void allocate(uint64_t size_bytes);
  // Makes it durable and puts it in its place.
  void commit();

 private:
  fs::path path_;  // what is replaced
  std::string temporary_;
  std::unique_ptr<OutputFile> out_;
  bool in_place_ = false;  // a device or pipe, written to directly
};

// Makes durable what was created, renamed and removed in the folder. Throws kIo; file systems that
// cannot are passed over.
void sync_folder(const fs::path& folder);
void sync_folder(int fd, const fs::path& folder);  // one that is open

// rename(2) followed by fsync of the folder that now holds `to`.
void rename_durable(const fs::path& from, const fs::path& to);

}  // namespace tq
