// MXFP4 (OCP Microscaling): numbers of 4 bits (a sign, two of exponent, one of mantissa), 32 of
// which share a power of two. Pure functions.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>

namespace tq {

constexpr int kMxfp4Group = 32;

// code: 4 bits, the sign the highest; scale: the power's exponent + 127, or 255 for NaN. As ggml
// and gguf compute it, but for NaN: twice the number times half the power; minus zero is zero.
inline float mxfp4_value(uint8_t code, uint8_t scale) {
  constexpr std::array<float, 16> kTwice = {0.0f, 1.0f,  2.0f,  3.0f,  4.0f,  6.0f,  8.0f,  12.0f,
                                            0.0f, -1.0f, -2.0f, -3.0f, -4.0f, -6.0f, -8.0f, -12.0f};
  if (scale == 255) return std::numeric_limits<float>::quiet_NaN();
  return kTwice[code & 15] * std::ldexp(1.0f, int{scale} - 128);
}

}  // namespace tq
