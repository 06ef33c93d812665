// verify_checkpoint(): re-hashes what convert() wrote. Opening a checkpoint has already checked its
// structure; this reads every byte of its tensors.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "io/checkpoint.h"

namespace tq {

struct VerifyOptions {
  int n_threads = 0;                                       // 0: all CPUs
  std::function<void(int64_t done, int64_t total)> bytes;  // progress; called from any thread
  std::function<bool()> cancelled;  // true stops: kCancelled; called from any thread
};

struct VerifyReport {
  bool hashed = false;  // false: the checkpoint carries no hashes, only its structure was checked
  int64_t n_tensors = 0;
  int64_t n_bytes = 0;              // of tensors, as stored
  std::vector<std::string> faults;  // "tensor X: ...", in the order of the tensors
};

// Throws kCorrupt when a native checkpoint's hashes are not what tq convert writes, kIo,
// kCancelled. Content that differs is no error here but a fault in the report.
VerifyReport verify_checkpoint(const Checkpoint& checkpoint, const VerifyOptions& options = {});

}  // namespace tq
