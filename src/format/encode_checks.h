// What whoever encodes a tensor checks around the codec: that its input is finite, and that its
// gains fit the f16 they are stored in. Pure functions; thread safe.
#pragma once

#include <cstdint>
#include <string_view>

namespace tq {

// The position of the first NaN or infinity among n values, or -1. Encoders take finite values
// only.
int64_t find_non_finite(const float* values, int64_t n);

// Rounds n gains of an encoder to f16. Throws kUnsupported naming `tensor` for a gain beyond
// f16's 65504: such weights need bf16 or f32.
void store_gains(const float* gains, int64_t n, std::string_view tensor, uint16_t* out);

}  // namespace tq
