// Materializer: brings tensors that kernels cannot read in place, or that are to be compressed at
// load, into a storage format in memory, rows in parallel. Used while a model loads, by one thread.
#pragma once

#include <memory>

#include "backend/backend.h"
#include "base/thread_pool.h"
#include "io/checkpoint.h"

namespace tq {

class Materializer {
 public:
  // threads: 0 means every CPU the process may use; none are started before the first use.
  Materializer(const Checkpoint& checkpoint, Backend& backend, const EncodeOptions& encode,
               int threads);

  // The tensor [rows, in] or [experts, rows, in] in `format`; the view points into `storage`.
  // Throws kCorrupt naming the tensor when it holds NaN or infinity, kUnsupported when a value does
  // not fit f16.
  WeightView weight(const TensorEntry& tensor, const FormatTraits& format, Buffer& storage);

  // A vector as fp32, `offset` added to each element. Throws kCorrupt for NaN or infinity.
  void vector(const TensorEntry& tensor, float offset, float* out) const;

 private:
  const Checkpoint& checkpoint_;
  Backend& backend_;
  EncodeOptions encode_;
  int threads_;
  std::unique_ptr<ThreadPool> pool_;
};

}  // namespace tq
