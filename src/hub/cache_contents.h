// What the cache of Hugging Face's tools holds, and removing some of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/file.h"
#include "hub/hub_name.h"

namespace tq {

// A model of a repository at one commit: its safetensors with what goes along, one quantization of
// GGUF files, or files that are no model.
struct CachedEntry {
  std::string name;  // as it can be given for MODEL: "org/name", "org/name:Q4_K_M", "org/name:v2"
  std::string commit;
  int64_t bytes = 0;         // of its files
  std::string missing;       // what is not there, or why it is no model; empty for a whole model
  int64_t fetched_time = 0;  // seconds since 1970, of the newest file
  fs::path path;             // of the snapshot, or of the (first) GGUF file
};

struct CachedRepository {
  std::string repository;  // "org/name"
  std::vector<CachedEntry> entries;
  int64_t bytes = 0;             // of all blobs on the disk, unfinished ones too
  int64_t unfinished_bytes = 0;  // of those, what pulls have left that a later one goes on with
};

// Sorted by name. A cache that is not there is empty. Throws kIo.
std::vector<CachedRepository> list_cache(const fs::path& cache);

struct Removal {
  std::vector<std::string> what;  // "org/name" or paths in its snapshots
  int64_t bytes = 0;              // that this frees
  bool only_name = false;         // "refs/..." of a commit that has others: no file goes
};

// Removes a whole repository, or of a name with a tag the revision, the quantization or the file,
// with the blobs that nothing else of the cache needs; of a revision that is one of several for the
// same commit only the name. dry_run: only says what would go. Throws kNotFound with what there is,
// kInvalidArgument while another program fetches it and for what lies behind a link, kIo.
Removal remove_cached(const fs::path& cache, const HubName& name, bool dry_run);

}  // namespace tq
