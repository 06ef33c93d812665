// Destination: the folder a conversion writes to. Guards the source and other people's files, owns
// the work folder that holds everything unfinished, and puts the finished files in place. One
// owner; not thread safe.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/file.h"
#include "io/checkpoint.h"

namespace tq {

constexpr const char* kWorkFolderName = ".tq-convert";

class Destination {
 public:
  explicit Destination(fs::path folder) : folder_(std::move(folder)) {}

  const fs::path& folder() const { return folder_; }
  fs::path work_folder() const { return folder_ / kWorkFolderName; }
  fs::path work_file(const std::string& name) const { return work_folder() / name; }

  // Throws kInvalidArgument when the folder is, holds or lies in the source, whatever links lead
  // there.
  void refuse_overlap(const Checkpoint& source) const;
  // Throws kInvalidArgument when something lies there that this conversion must not touch: a file,
  // a foreign folder, or a complete checkpoint (unless overwrite).
  void refuse_taken(bool overwrite) const;
  bool has_work() const;

  // Throws kNoSpace, with both numbers, when file_bytes (less what an interrupted run has written)
  // do not fit.
  void check_space(uint64_t file_bytes,
                   const std::function<uint64_t(const fs::path&)>& free_bytes) const;

  // Makes the folder and its work folder. Throws kIo.
  void create();
  // Removes the work folder, and the folder itself if create() made it and nothing is in it.
  void discard_work();

  // Removes everything in the work folder but one file.
  void clear_work(const std::string& keep) const;

  // The files of the checkpoint that lies there which a new one with `new_files` would not replace.
  std::vector<std::string> stale_files(const std::vector<std::string>& new_files) const;
  void remove_file(const std::string& name) const;
  // Moves a finished file out of the work folder; nothing to do when an interrupted run did.
  void put_in_place(const std::string& name) const;

 private:
  fs::path folder_;
  bool created_ = false;
};

}  // namespace tq
