// What writers of tensors share: how rows are cut up, what time costs, which weights are no
// numbers.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "io/checkpoint.h"

namespace tq {

// A chunk is what one thread encodes at a time, a block what is in flight. Their sizes depend on
// the row length alone, so that sums over chunks are the same whatever the thread count.
constexpr int64_t kChunkFloats = int64_t{64} << 10;
constexpr int64_t kBlockFloats = int64_t{8} << 20;

// Processor time of the calling thread: what else the machine does is not in it.
double thread_cpu_seconds();

inline std::span<const uint8_t> as_bytes(const void* data, int64_t size_bytes) {
  return {static_cast<const uint8_t*>(data), static_cast<size_t>(size_bytes)};
}

// Positions of weights that are no numbers, within the values, which begin at a row; refuses them
// (kCorrupt) unless allowed.
std::vector<int64_t> find_bad(const TensorEntry& entry, int64_t row_begin,
                              std::span<const float> values, bool allow_nan);

}  // namespace tq
