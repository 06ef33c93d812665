// The arithmetic of sampling, the same bits on every device. Weights are integers, so that their
// sums do not depend on an order; what is rounded before that is the result of single operations of
// fp32, which IEEE 754 defines. Whoever includes this is compiled without contraction of a * b + c.
#pragma once

#include <bit>
#include <cstdint>

#include "kernels/ops/sample.h"

#ifdef __CUDACC__
#define TQ_ANYWHERE __host__ __device__ __forceinline__
#else
#define TQ_ANYWHERE inline
#endif

namespace tq {

// a * b that is never made part of a fused multiply-add.
TQ_ANYWHERE float rounded_product(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fmul_rn(a, b);
#else
  return a * b;
#endif
}

// The upper half of a * b.
TQ_ANYWHERE uint64_t upper_product(uint64_t a, uint64_t b) {
#ifdef __CUDA_ARCH__
  return __umul64hi(a, b);
#else
  __extension__ typedef unsigned __int128 Wide;
  return static_cast<uint64_t>((static_cast<Wide>(a) * b) >> 64);
#endif
}

// The logit of a token that was seen: in the prompt, and `count` times in what was generated.
TQ_ANYWHERE float penalised(float logit, float count, const SampleRow& row) {
  logit =
      logit > 0 ? logit / row.repetition_penalty : rounded_product(logit, row.repetition_penalty);
  if (count > 0) {
    logit -= row.presence_penalty + rounded_product(row.frequency_penalty, count);
  }
  return logit;
}

TQ_ANYWHERE uint32_t float_bits(float x) {
#ifdef __CUDA_ARCH__
  return __float_as_uint(x);
#else
  return std::bit_cast<uint32_t>(x);
#endif
}

// How many times a token is less probable than the best one, in powers of two; `below` is by how
// much its logit is less.
TQ_ANYWHERE float sample_exponent(float below, float scale) {
  return rounded_product(below, scale);
}
// From this exponent on weights are 0, as they are a little before.
constexpr float kNoWeight = kSampleWeightBits + 2.0f;

// 2^(kSampleWeightBits - exponent), rounded down to an integer; but for that within 2^-21 of
// itself, and what the exponent's rounding makes. exponent: at least 0; infinity and NaN are like
// kNoWeight.
TQ_ANYWHERE uint64_t sample_weight(float exponent) {
  exponent = exponent < kNoWeight ? exponent : kNoWeight;
  // The nearest integer is what the sum with this leaves in the lower bits.
  constexpr float kToInteger = 8388608.0f;
  const float shifted = exponent + kToInteger;
  const float x = exponent - (shifted - kToInteger);  // exact, in [-0.5, 0.5]
  // 2^-x: a polynomial through 1 at 0 and through five Chebyshev nodes.
  float y = -1.3381302123889327e-3f;
  y = 9.66636836528778e-3f + rounded_product(y, x);
  y = -5.5503811687231064e-2f + rounded_product(y, x);
  y = 2.402234971523285e-1f + rounded_product(y, x);
  y = -6.931471824645996e-1f + rounded_product(y, x);
  y = 1.0f + rounded_product(y, x);
  // y is in (0.5, 2): 24 bits and a power of two, of which the integer is made.
  const uint32_t bits = float_bits(y);
  const uint64_t digits = (bits & 0x7fffffu) | 0x800000u;
  const uint32_t whole = float_bits(shifted) - float_bits(kToInteger);
  return (digits << (kSampleWeightBits - 23)) >> (whole + 127u - (bits >> 23));
}

// The mass that top_p keeps at least, of a positive one.
TQ_ANYWHERE uint64_t top_p_mass(uint64_t mass, float top_p) {
  const double share = static_cast<double>(mass) * static_cast<double>(top_p);
  const auto whole = static_cast<uint64_t>(share);
  return static_cast<double>(whole) < share ? whole + 1 : whole;
}

}  // namespace tq
