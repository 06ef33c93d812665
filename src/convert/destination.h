// Destination: the folder a conversion writes to. Guards the source and other people's files, owns
// the work folder that holds everything unfinished, and puts the finished files in place. All that
// lies there is reached through open folders, links are not followed, and nothing but regular files
// is replaced or removed. One owner; not thread safe.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/folder_handle.h"
#include "io/checkpoint.h"

namespace tq {

constexpr const char* kWorkFolderName = ".tq-convert";

// What a file of the result is called in the work folder, which has no folders: the result may have
// "folder/name".
std::string staged_name(const std::string& name);

// What a conversion may find in its folder and go on.
struct DestinationClaim {
  bool overwrite = false;              // replace a complete checkpoint of ours
  bool known_work = false;             // the work folder's journal says that the work is ours
  std::vector<std::string> new_files;  // that will be put there
};

class Destination {
 public:
  // Opens what is there. Throws kInvalidArgument when the path, or its work folder, is there and is
  // no folder (a work folder that is a link), kIo.
  explicit Destination(fs::path folder);

  const fs::path& folder() const { return path_; }
  fs::path work_folder() const { return path_ / kWorkFolderName; }
  // The open work folder; there must be one: has_work() or create().
  const FolderHandle& work() const { return *work_; }
  bool has_work() const { return work_.has_value(); }
  // What the folder has of that name, in place.
  FolderHandle::Entry entry(const std::string& name) const;
  const FolderHandle& open_folder() const { return *folder_; }

  // Throws kInvalidArgument when the folder is, holds or lies in the source, whatever links lead
  // there.
  void refuse_overlap(const Checkpoint& source) const;
  // Throws kInvalidArgument when something lies there that this conversion must not touch: a
  // foreign file, or a complete checkpoint (unless overwrite).
  void refuse_taken(const DestinationClaim& claim) const;

  // Throws kNoSpace, with both numbers, when file_bytes (less what an interrupted run has written)
  // do not fit.
  void check_space(uint64_t file_bytes,
                   const std::function<uint64_t(const fs::path&)>& free_bytes) const;

  // Of a run that ended between removing its work and the folder of it.
  void remove_empty_work();
  // Makes the folder and its work folder, durable in the folders above. Throws kIo.
  void create();
  // Removes the work folder, and the folder itself if create() made it and nothing is in it.
  void discard_work();
  // Removes the files of the work folder but one.
  void clear_work(const std::string& keep) const;

  // Whether the work folder has this file of the result, finished and not yet put in its place.
  bool is_staged(const std::string& name) const;
  // The files of the complete checkpoint of ours that lies there which a new one with `new_files`
  // would not replace, its description first.
  std::vector<std::string> stale_files(const std::vector<std::string>& new_files) const;
  // Removes these files, the description durably before the rest: what is left of a checkpoint
  // never looks complete.
  void remove_files(const std::vector<std::string>& names) const;
  // Moves finished files out of the work folder, those that an interrupted run has moved excepted;
  // the last one durably after the rest, since it says that the checkpoint is complete.
  void put_in_place(const std::vector<std::string>& names) const;

 private:
  void put_in_place(const std::string& name, const FolderHandle& folder,
                    const std::string& plain) const;

  fs::path path_;
  std::optional<FolderHandle> folder_;  // once it is there
  std::optional<FolderHandle> work_;
  bool created_ = false;
};

}  // namespace tq
