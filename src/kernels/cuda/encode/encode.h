// Compression on the GPU. As the other launchers (ops.h): enqueues on a stream and returns.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "format/traits.h"
#include "tensor/dtype.h"

namespace tq::cuda {

struct EncodeArgs {
  DType dtype;         // of the source: F32, F16 or BF16
  const void* source;  // [experts * rows, in], aligned to its elements
  WeightView out;      // native, of a format that has_encoder() (weight_formats.h): its planes are
                       // written; codes 4-byte aligned
  EncodeOptions options;
  uint32_t*
      first_bad;  // lowered to `number` if a weight is not finite, or a gain too large for f16
  uint32_t number;
};
// Writes the bytes that FormatTraits::encode_rows does, and its gains rounded to f16.
void encode(const EncodeArgs& args, cudaStream_t stream);

}  // namespace tq::cuda
