// The bandwidth of reading memory, which kernels are compared with.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>

#include "base/thread_pool.h"
#include "tensor/buffer.h"

namespace tq {

// Bytes a second: all threads of the pool touch every line of a block, with the best of some
// distances of prefetching. One word a line: what limits is memory, not instructions. `now` is the
// clock, in seconds.
inline double measure_read_bandwidth(ThreadPool& pool, int64_t block_bytes,
                                     const std::function<double()>& now) {
  Buffer block(static_cast<size_t>(block_bytes));
  std::memset(block.as<uint8_t>().data(), 1, static_cast<size_t>(block_bytes));
  const uint64_t* words = block.as<uint64_t>().data();
  double best = std::numeric_limits<double>::infinity();
  volatile uint64_t sink = 0;
  for (int i = 0; i < 50; ++i) {
    const int64_t distance = 512 << (i % 5);  // bytes
    auto read = [&](int64_t begin, int64_t end, int /*thread*/) {
      uint64_t sums[4] = {};
      for (int64_t line = begin; line < end; line += 4) {
        for (int64_t k = 0; k < 4; ++k) {
          __builtin_prefetch(words + 8 * (line + k) + distance / 8);
          sums[k] += words[8 * (line + k)];
        }
      }
      if (sums[0] + sums[1] + sums[2] + sums[3] == 0) sink = 1;
    };
    const double start = now();
    pool.parallel_for(block_bytes / 64, 1 << 14, read);
    best = std::min(best, now() - start);
  }
  return static_cast<double>(block_bytes) / best;
}

}  // namespace tq
