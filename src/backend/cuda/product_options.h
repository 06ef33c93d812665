// How a backend's products are to be run, and the scratch of those with 16-bit numbers, one for
// each of two streams, made when the first weight is placed that wants it. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "backend/backend.h"
#include "backend/cuda/device_memory.h"
#include "kernels/cuda/ops.h"

namespace tq::cuda {

class BackendProducts {
 public:
  // Throws kInvalidArgument for a tier that does not exist.
  explicit BackendProducts(const CudaOptions& options);

  Tier tier() const { return options_.tier; }
  // For the main stream or the one beside it.
  ProductOptions options(bool beside) const;
  // Bytes that making room for all of these weights takes.
  int64_t bytes_for(std::span<const WeightView> weights) const;
  void make_room_for(const WeightView& weight, DeviceMemory& memory);

 private:
  ProductOptions options_;
  std::array<Buffer, 2> scratch_;  // of the main stream, and of the one beside it
};

}  // namespace tq::cuda
