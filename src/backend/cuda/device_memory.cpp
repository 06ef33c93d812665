#include "backend/cuda/device_memory.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <unordered_map>

#include "backend/cuda/check.h"
#include "base/math.h"

namespace tq::cuda {

struct MemoryCount {
  std::atomic<int64_t> used{0};
};

namespace {

struct Allocation {
  std::shared_ptr<MemoryCount> count;
  int64_t size_bytes;
};

// A Buffer's release function gets nothing but the address.
class Allocations {
 public:
  void add(uint8_t* memory, Allocation allocation) {
    const std::lock_guard lock(mutex_);
    allocation.count->used += allocation.size_bytes;
    by_address_.emplace(memory, std::move(allocation));
  }
  void remove(uint8_t* memory) {
    const std::lock_guard lock(mutex_);
    const auto found = by_address_.find(memory);
    if (found == by_address_.end()) return;
    found->second.count->used -= found->second.size_bytes;
    by_address_.erase(found);
  }

 private:
  std::mutex mutex_;
  std::unordered_map<uint8_t*, Allocation> by_address_;
};

Allocations& allocations() {
  static Allocations all;
  return all;
}

void release(uint8_t* memory) {
  if (memory == nullptr) return;
  allocations().remove(memory);
  cudaFree(memory);  // fails only after a device error, which has been told
}

constexpr size_t kSlabBytes = size_t{32} << 20;
constexpr int64_t kSlabAlignment = 256;
// Left to the driver, for kernels and graphs, where no limit is given.
constexpr int64_t kDriverBytes = int64_t{512} << 20;

}  // namespace

DeviceMemory::DeviceMemory(int device, int64_t limit)
    : limit_(limit), count_(std::make_shared<MemoryCount>()) {
  check(cudaSetDevice(device), "choosing the GPU");
  size_t free = 0;
  size_t total = 0;
  check(cudaMemGetInfo(&free, &total), "asking for free memory");
  const auto most = static_cast<int64_t>(free);
  limit_ = limit_ > 0 ? std::min(limit_, most) : std::max<int64_t>(most - kDriverBytes, 0);
}

int64_t DeviceMemory::used() const { return count_->used; }

Buffer DeviceMemory::allocate(size_t size_bytes) {
  if (size_bytes == 0) return {};
  const auto size = static_cast<int64_t>(size_bytes);
  if (size > limit_ - used()) {
    fail(ErrorCode::kOutOfMemory,
         "{} bytes of GPU memory are needed besides {} in use, but {} are allowed; choose a "
         "smaller format, context or batch, or allow more (--gpu-memory)",
         size, used(), limit_);
  }
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, size_bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // not one that lasts
    fail(ErrorCode::kOutOfMemory,
         "the GPU has no {} bytes left besides {} in use; choose a smaller format, context or "
         "batch",
         size, used());
  }
  check(error, "allocating memory");
  auto* bytes = static_cast<uint8_t*>(memory);
  allocations().add(bytes, {count_, size});
  return {bytes, size_bytes, release};
}

size_t SlabLayout::padded(size_t size_bytes) {
  return static_cast<size_t>(round_up(static_cast<int64_t>(size_bytes), kSlabAlignment));
}

bool SlabLayout::alone(size_t size_bytes) { return padded(size_bytes) > kSlabBytes / 4; }

size_t SlabLayout::grow(size_t size_bytes) {
  const size_t size = padded(size_bytes);
  if (alone(size)) return size;
  const size_t grown = size > left_ ? kSlabBytes : 0;
  left_ = (grown > 0 ? grown : left_) - size;
  return grown;
}

uint8_t* Slabs::take(size_t size_bytes) {
  const size_t grown = layout_.grow(size_bytes);
  if (grown > 0) slabs_.push_back(memory_.allocate(grown));
  if (SlabLayout::alone(size_bytes)) return slabs_.back().data();
  if (grown > 0) next_ = slabs_.back().data();
  uint8_t* taken = next_;
  next_ += SlabLayout::padded(size_bytes);
  return taken;
}

}  // namespace tq::cuda
