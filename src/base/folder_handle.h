// FolderHandle: an open folder. What lies in it is reached by plain names through the descriptor
// and never through a link, so nothing that is planted in the folder or moved on the way to it
// leads elsewhere. Owns the descriptor; const methods are thread safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace tq {

class FolderHandle {
 public:
  enum class Entry { kNone, kFile, kFolder, kLink, kOther };

  // The folder that the path names, through whatever links. Throws kNotFound, kIo.
  explicit FolderHandle(const fs::path& path);
  ~FolderHandle();
  FolderHandle(FolderHandle&& other) noexcept;
  FolderHandle& operator=(FolderHandle&& other) noexcept;
  FolderHandle(const FolderHandle&) = delete;
  FolderHandle& operator=(const FolderHandle&) = delete;

  // As it was opened, for messages.
  const fs::path& path() const { return path_; }

  // What the name stands for, links not followed.
  Entry entry(const std::string& name) const;
  // Sorted, without "." and "..".
  std::vector<std::string> names() const;
  // Of a regular file; nothing for anything else.
  std::optional<uint64_t> file_size(const std::string& name) const;
  uint64_t allocated_bytes(const std::string& name) const;

  // A folder in it. Throws kNotFound, kInvalidArgument for what is no folder (a link to one).
  FolderHandle open_folder(const std::string& name) const;
  // Throws kIo when there is something of that name.
  void make_folder(const std::string& name) const;

  // A descriptor of a regular file that is there, or -1 when there is none. `flags`: O_RDWR, ...
  // Throws kInvalidArgument for what is no regular file, kIo.
  int open_file(const std::string& name, int flags) const;
  // A new file; one that was there under the name is removed first.
  OutputFile create_file(const std::string& name) const;
  // Writes a new file and syncs it.
  void write_file(const std::string& name, std::string_view bytes) const;

  // Makes `name` the file `to_name` of another folder of the same file system, replacing a file.
  // Throws kInvalidArgument rather than replace anything but a regular file. Not durable before
  // `to` is synced.
  void move_file(const std::string& name, const FolderHandle& to, const std::string& to_name) const;
  // Nothing to do when there is none. Throws kInvalidArgument for what is no regular file.
  void remove_file(const std::string& name) const;
  // Whether the folder is gone: it stays when something is in it.
  bool remove_folder(const std::string& name) const;

  // Makes what was created, moved and removed in it durable. Throws kIo.
  void sync() const;

 private:
  FolderHandle(int fd, fs::path path) : fd_(fd), path_(std::move(path)) {}
  [[noreturn]] void refuse(const std::string& name) const;

  int fd_ = -1;
  fs::path path_;
};

// Makes the folder and those above it that are not there, each durable in the one above.
// Throws kIo.
void make_folders(const fs::path& path);

}  // namespace tq
