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
  // limit: bytes that may be allocated at a time; 0: what the GPU has free, but for some for the
  // driver.
  DeviceMemory(int device, int64_t limit);

  // Throws kOutOfMemory with what is asked for, used and allowed.
  Buffer allocate(size_t size_bytes);
  int64_t used() const;
  int64_t limit() const { return limit_; }

 private:
  int64_t limit_;
  std::shared_ptr<struct MemoryCount> count_;
};

// How things lie one behind another in slabs.
class SlabLayout {
 public:
  // Bytes of the allocation that something of this size needs; 0: it goes behind the last one.
  size_t grow(size_t size_bytes);
  // Whether it gets an allocation of its own.
  static bool alone(size_t size_bytes);
  static size_t padded(size_t size_bytes);

 private:
  size_t left_ = 0;
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
  SlabLayout layout_;
  uint8_t* next_ = nullptr;
};

}  // namespace tq::cuda
