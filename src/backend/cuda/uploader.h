// Uploader: copies of pageable host memory to the GPU through a ring of pinned buffers, so that the
// host may go on while they run. Used by one thread.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstdint>

#include "base/thread_pool.h"

namespace tq::cuda {

class Uploader {
 public:
  explicit Uploader(cudaStream_t stream);
  ~Uploader();
  Uploader(const Uploader&) = delete;
  Uploader& operator=(const Uploader&) = delete;

  // In the stream's order; `from` may change once the call returns.
  void copy(const void* from, void* to, size_t size_bytes);

 private:
  static constexpr size_t kSlots = 4;
  struct Slot {
    uint8_t* memory = nullptr;
    cudaEvent_t copied = nullptr;
  };
  cudaStream_t stream_;
  ThreadPool pool_;  // one core's copies are slower than the bus
  std::array<Slot, kSlots> slots_;
  size_t next_ = 0;
};

}  // namespace tq::cuda
