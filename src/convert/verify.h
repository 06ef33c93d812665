// verify_checkpoint(): re-hashes what convert() wrote: every byte of every file. Opening a
// checkpoint has already checked its structure.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "io/checkpoint.h"

namespace tq {

struct VerifyOptions {
  int n_threads = 0;                                       // 0: all CPUs
  std::function<void(int64_t done, int64_t total)> bytes;  // progress; called from any thread
  std::function<bool()> cancelled;  // true stops: kCancelled; called from any thread
};

// Whether tq_config.json of such a checkpoint has hashes.
bool has_manifest(CheckpointKind kind);

struct VerifyReport {
  bool hashed = false;  // false: the checkpoint carries no hashes, only its structure was checked
  int64_t n_tensors = 0;
  int64_t n_bytes = 0;  // of tensors, as stored
  // "tensor X: ...", in the order of the tensors, then "model.safetensors: ...".
  std::vector<std::string> faults;
  bool files_hashed = false;  // false: an older version wrote it, small files cannot be checked
  std::vector<std::string> edited;  // small files: "config.json: has changed"
  std::vector<std::string> extra;   // what else lies in the folder: "notes.txt", "pictures/"
  bool sound() const { return faults.empty() && edited.empty(); }
  // {"checked": "content" or "structure", "small_files_checked", "tensors", "bytes", "faults",
  // "edited", "extra"}
  Json to_json() const;
};

// Throws kCorrupt when a native checkpoint's hashes are not what tq convert writes, kIo,
// kCancelled. Content that differs is no error here but a fault in the report.
VerifyReport verify_checkpoint(const Checkpoint& checkpoint, const VerifyOptions& options = {});

// The report's JSON with "sound" and the checkpoint's "kind" before it.
Json verification_json(const Checkpoint& checkpoint, const VerifyReport& report);

// Makes the small files of the native checkpoint in the folder, as they are now, those that belong
// to it: writes their hashes, and its own, into tq_config.json. Tensors are not looked at; hashes
// of shards are made where an older version left none. Throws kUnsupported where tensors have no
// hashes, kIo.
void update_hashes(const fs::path& folder);

}  // namespace tq
