#include "backend/cuda/uploader.h"

#include <algorithm>
#include <cstring>

#include "backend/cuda/check.h"

namespace tq::cuda {
namespace {

constexpr size_t kSlotBytes = size_t{8} << 20;
constexpr int64_t kPartBytes = int64_t{1} << 20;
constexpr int kMostThreads = 8;

}  // namespace

Uploader::Uploader(cudaStream_t stream)
    : stream_(stream), pool_(std::min(available_cpus(), kMostThreads)) {
  for (Slot& slot : slots_) {
    void* memory = nullptr;
    check(cudaHostAlloc(&memory, kSlotBytes, cudaHostAllocDefault), "allocating pinned memory");
    slot.memory = static_cast<uint8_t*>(memory);
    check(cudaEventCreateWithFlags(&slot.copied, cudaEventDisableTiming), "making an event");
  }
}

Uploader::~Uploader() {
  for (const Slot& slot : slots_) {
    if (slot.copied != nullptr) cudaEventDestroy(slot.copied);
    if (slot.memory != nullptr) cudaFreeHost(slot.memory);
  }
}

void Uploader::copy(const void* from, void* to, size_t size_bytes) {
  const auto* source = static_cast<const uint8_t*>(from);
  auto* target = static_cast<uint8_t*>(to);
  while (size_bytes > 0) {
    const Slot& slot = slots_[next_++ % kSlots];
    const size_t n = std::min(size_bytes, kSlotBytes);
    check(cudaEventSynchronize(slot.copied), "waiting for a copy");
    auto part = [&](int64_t begin, int64_t end, int /*thread*/) {
      std::memcpy(slot.memory + begin, source + begin, static_cast<size_t>(end - begin));
    };
    pool_.parallel_for(static_cast<int64_t>(n), kPartBytes, part);
    check(cudaMemcpyAsync(target, slot.memory, n, cudaMemcpyHostToDevice, stream_),
          "copying to the GPU");
    check(cudaEventRecord(slot.copied, stream_), "recording an event");
    source += n;
    target += n;
    size_bytes -= n;
  }
}

}  // namespace tq::cuda
