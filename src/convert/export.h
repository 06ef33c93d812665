// export_checkpoint(): a checkpoint as a plain Hugging Face folder: every tensor as numbers of its
// own type (f16 where it was compressed), the config and text files beside them. Streams; puts the
// files in place when all are whole.
#pragma once

#include <cstdint>
#include <functional>

#include "base/file.h"
#include "convert/convert.h"
#include "io/checkpoint.h"

namespace tq {

struct ExportOptions {
  fs::path destination;  // a folder that is empty or does not exist
  int n_threads = 0;     // 0: all CPUs
  uint64_t shard_bytes = 4'000'000'000;
  std::function<void(const ConvertProgress&)> progress;
  std::function<bool()> cancelled;  // asked after every block; true stops: kCancelled
  ConvertHooks hooks;               // free_bytes only
};

struct ExportReport {
  int64_t n_tensors = 0;
  int64_t n_files = 0;       // that hold tensors
  int64_t stored_bytes = 0;  // of those files
  double seconds = 0;
};

// Throws kInvalidArgument for a destination that is not empty, kNoSpace with both numbers before
// anything is written. What ends it while tensors are written (kIo, kNoSpace, kCancelled) leaves
// nothing behind.
ExportReport export_checkpoint(const Checkpoint& source, const ExportOptions& options);

}  // namespace tq
