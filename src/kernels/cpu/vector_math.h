// Arithmetic that compilers turn into vector code of any width: transcendental functions without
// branches or tables, and fp32 dot products with a fixed order of summation. Pure functions.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

namespace tq {

// The nearest integer, as float bits: adding 1.5 * 2^23 leaves it in the low mantissa bits. For
// |x| < 2^22; ties to even.
constexpr float kRoundMagic = 12582912.0f;
inline int32_t round_to_int(float x) {
  return std::bit_cast<int32_t>(x + kRoundMagic) - std::bit_cast<int32_t>(kRoundMagic);
}

// e^x to 2 ulp; 0 below -87.3 (where e^x leaves the normal numbers), 2.4e38 above 88.37. NaN stays
// NaN. Reduction to |r| <= ln(2) / 2 and the polynomial of Cephes' expf.
inline float fast_exp(float x) {
  constexpr float kMax = 88.37f;
  constexpr float kMin = -87.33f;
  constexpr float kLn2High = 0.693359375f;
  constexpr float kLn2Low = -2.12194440e-4f;
  float t = x > kMax ? kMax : x;
  t = t < kMin ? kMin : t;
  const float n = (t * 1.44269504f + kRoundMagic) - kRoundMagic;
  const float r = (t - n * kLn2High) - n * kLn2Low;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const uint32_t power_of_2 = (std::bit_cast<uint32_t>(n + kRoundMagic) << 23) + 0x3f800000u;
  return x < kMin ? 0.0f : p * std::bit_cast<float>(power_of_2);
}

// tanh to 3 ulp: Cephes' odd polynomial near 0, else 1 - 2 / (e^2|x| + 1).
inline float fast_tanh(float x) {
  const float a = std::bit_cast<float>(std::bit_cast<uint32_t>(x) & 0x7fffffffu);
  const float z = x * x;
  float p = -5.70498872745e-3f;
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const float near = p * z * x + x;
  const float far = 1.0f - 2.0f / (fast_exp(2.0f * a) + 1.0f);
  const uint32_t sign = std::bit_cast<uint32_t>(x) & 0x80000000u;
  return a < 0.625f ? near : std::bit_cast<float>(std::bit_cast<uint32_t>(far) | sign);
}

// Four floats in one register, on compilers for any CPU (GCC's vector extension: the loops of
// dot_rows below must not depend on how well a compiler finds them).
using Float4 = float __attribute__((vector_size(16)));

inline Float4 load4(const float* p) {
  Float4 v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}

// sums[r] = sum_i w[r * stride + i] * x[i]. Each sum is 8 partial ones (element i goes to i mod 8)
// added in a fixed order, so that a row's result does not depend on kRows.
template <int kRows>
inline std::array<float, kRows> dot_rows(const float* w, int64_t stride, const float* x,
                                         int64_t n) {
  Float4 low[kRows] = {};
  Float4 high[kRows] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const Float4 x_low = load4(x + i);
    const Float4 x_high = load4(x + i + 4);
    for (int r = 0; r < kRows; ++r) {
      low[r] += load4(w + r * stride + i) * x_low;
      high[r] += load4(w + r * stride + i + 4) * x_high;
    }
  }
  std::array<float, kRows> sums;
  for (int r = 0; r < kRows; ++r) {
    const Float4 both = low[r] + high[r];
    sums[static_cast<size_t>(r)] = (both[0] + both[2]) + (both[1] + both[3]);
    for (int64_t k = i; k < n; ++k) sums[static_cast<size_t>(r)] += w[r * stride + k] * x[k];
  }
  return sums;
}

}  // namespace tq
