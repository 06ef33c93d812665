// Workspace: scratch laid out at load in one allocation, so that a forward pass allocates nothing.
// The same layout code runs twice: over an empty workspace to learn the size (every pointer is
// null), then over the memory. Used by one thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/math.h"
#include "tensor/buffer.h"

namespace tq {

class Workspace {
 public:
  Workspace() = default;  // measures
  explicit Workspace(std::span<uint8_t> memory) : memory_(memory.data()) {}

  // n elements, 64-byte aligned.
  template <typename T>
  T* take(int64_t n) {
    const size_t begin = used_;
    used_ += static_cast<size_t>(round_up(n * static_cast<int64_t>(sizeof(T)), Buffer::kAlignment));
    peak_ = std::max(peak_, used_);
    return memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + begin);
  }
  // What is taken after rewind(mark) overlays what was taken since the mark: for buffers that never
  // live at the same time, such as those of different layers.
  size_t mark() const { return used_; }
  void rewind(size_t mark) { used_ = mark; }

  size_t peak_bytes() const { return peak_; }

 private:
  uint8_t* memory_ = nullptr;
  size_t used_ = 0;
  size_t peak_ = 0;
};

}  // namespace tq
