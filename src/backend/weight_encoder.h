// WeightEncoder: compression of weights on a backend's device while a model loads
// (Device::encoder()). Used by one thread.
#pragma once

#include <cstdint>
#include <functional>

#include "format/traits.h"
#include "tensor/dtype.h"

namespace tq {

// Rows of weights as they are stored.
struct EncodeSource {
  DType dtype;  // F32, F16 or BF16
  // Writes rows [begin, begin + n) side by side to host memory.
  std::function<void(int64_t begin, int64_t n, void* out)> read;
};

class WeightEncoder {
 public:
  virtual ~WeightEncoder() = default;
  // One matrix of a format with scales, encoded from its rows as FormatTraits::encode_rows would
  // and placed as Device::import_weight() would. The planes of `weight` are not read. The source
  // is not used after the call; the result is there after finish().
  virtual WeightView encode(const WeightView& weight, const EncodeSource& source,
                            const EncodeOptions& options) = 0;
  // Waits for all that is being encoded, and gives back what that took of the device's memory.
  // Which call of encode() since the last finish(), from 0, was the first to meet NaN, an infinity
  // or a gain that f16 cannot hold; -1 if none did.
  virtual int64_t finish() = 0;
};

}  // namespace tq
