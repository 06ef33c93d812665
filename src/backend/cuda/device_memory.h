// Memory of one GPU, counted against a limit. Owned by the backend; Buffers it hands out may
// outlive it. Thread safe.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "tensor/buffer.h"

namespace tq::cuda {

class DeviceMemory {
 public:
  // limit: bytes that may be allocated at a time; 0: what the GPU has.
  DeviceMemory(int device, int64_t limit);

  // Throws kOutOfMemory with what is asked for, used and allowed.
  Buffer allocate(size_t size_bytes);
  int64_t used() const;
  int64_t limit() const { return limit_; }

 private:
  int64_t limit_;
  std::shared_ptr<struct MemoryCount> count_;
};

// Weights one behind another in larger pieces: allocations of the driver are slow and coarse.
class Slabs {
 public:
  explicit Slabs(DeviceMemory& memory) : memory_(memory) {}
  // 256-byte aligned; lives as long as the slabs.
  uint8_t* take(size_t size_bytes);

 private:
  DeviceMemory& memory_;
  std::vector<Buffer> slabs_;
  uint8_t* next_ = nullptr;
  size_t left_ = 0;
};

}  // namespace tq::cuda
