// RepositoryCache: one repository in the cache that Hugging Face's tools share:
//   models--ORG--NAME/blobs/HASH                 contents, by hash
//   models--ORG--NAME/snapshots/COMMIT/PATH      links to them, relative
//   models--ORG--NAME/refs/REVISION              the commit that a branch or tag was last seen at
//   .locks/models--ORG--NAME/HASH.lock           held while a blob is fetched
//   .locks/models--ORG--NAME/tq.lock             tq's own: shared by pulls, alone while it removes
// Const methods are thread safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "hub/hub_name.h"
#include "hub/listing.h"

namespace tq {

class RepositoryCache {
 public:
  // repository: "org/name".
  RepositoryCache(fs::path cache, const std::string& repository);

  const fs::path& folder() const { return folder_; }
  fs::path blob(std::string_view hash) const { return folder_ / "blobs" / hash; }
  fs::path lock(std::string_view hash) const;
  fs::path use_lock() const { return lock("tq"); }
  fs::path snapshot(std::string_view commit) const { return folder_ / "snapshots" / commit; }

  // Of a branch or tag as it was last seen, or of a commit that is there, which no reference can
  // make another one. Throws kIo.
  std::optional<std::string> commit_of(const std::string& revision) const;

  // Whether the content of a file of the commit is there: its blob, a link of the snapshot to one
  // of its hash, or a file of its own of the same size.
  bool has(std::string_view commit, const HubFile& file) const;
  // Makes the folders of blobs and the snapshot. Throws kIo.
  void make(std::string_view commit) const;
  // Puts a file whose blob is there into the snapshot. Throws kIo, also where the blob is not.
  void link(std::string_view commit, const HubFile& file) const;
  // Throws kInvalidArgument where another branch or tag is in the way of this one.
  void check_ref(const std::string& revision) const;
  // Throws kIo. Nothing to do for a commit's own name.
  void set_ref(const std::string& revision, const std::string& commit) const;

  // The files of a snapshot whose content is there, as paths in it, sorted. Empty for none; at most
  // 16 folders deep and 100 000, which is more than any model has.
  std::vector<std::string> files(std::string_view commit) const;
  // All files and links of a snapshot, however deep, sorted. Throws kIo where one could be missed.
  std::vector<std::string> all_files(std::string_view commit) const;

 private:
  fs::path cache_;
  std::string name_;  // "models--org--name"
  fs::path folder_;
};

// "models--org--name" to "org/name"; nothing for other names.
std::optional<std::string> repository_of_folder(std::string_view folder);

// A model in the cache.
struct FoundModel {
  fs::path path;     // to open: the snapshot's folder, or the (first) GGUF file
  std::string note;  // what was chosen where the name leaves a choice; empty otherwise
};

// The model that a name means, if all of it is there. Throws kIo.
std::optional<FoundModel> find_cached_model(const fs::path& cache, const HubName& name);

// What is missing of a model of which there is something, for messages: "model-00002-of-00004.
// safetensors"; empty where nothing is there or nothing is missing.
std::string missing_part(const RepositoryCache& repository, const std::string& commit);

}  // namespace tq
