// The encoder of tq2 .. tq8 for half a warp: the operations of format/scalar_encoder.cpp in the
// same order, so that the bytes are the same. Lane k of 16 holds the elements i of a group with i %
// 16 = k, and so one of the 16 partial sums whose order is part of the format. To be compiled
// without contraction (-fmad=false): a fused operation below is one whose product is exact.
#pragma once

#include <cstdint>

#include "format/scalar_encoder.h"
#include "kernels/cuda/device/common.cuh"
#include "kernels/cuda/device/rotate.cuh"

namespace tq::cuda {

// The positive half of a Lloyd codebook.
template <int kBits>
struct LloydTable {
  static constexpr int kHalf = 1 << (kBits - 1);
  float centroids[kHalf];
  float boundaries[kHalf - 1];
  // In the unit of the search (IntegerCodebook).
  int32_t integers[kHalf];
  int32_t integer_boundaries[kHalf - 1];
};

struct UniformTable {
  float step;
  float inverse_step;
  float int8_unit;
};

template <int kBits>
struct EncoderTables {
  std::conditional_t<kIsUniform<kBits>, UniformTable, LloydTable<kBits>> book;
  RotationMasks masks;
  ScaleSearch search;
  Effort effort;
  float beta;
};

// Butterflies and sums over the 16 lanes of a group.
template <typename T>
__device__ __forceinline__ T from_lane(T x, int step) {
  return __shfl_xor_sync(kAllLanes, x, step);
}
// In the order of vectors that are halved; the same in every lane, as addition commutes.
template <typename T>
__device__ __forceinline__ T sum16(T x) {
#pragma unroll
  for (int step = kPartialSums / 2; step > 0; step /= 2) x += from_lane(x, step);
  return x;
}

template <int kBits>
struct LloydQuantizer {
  static constexpr int kHalf = 1 << (kBits - 1);
  const LloydTable<kBits>& table;

  template <int kN>
  __device__ static float base_scale(const float (&/*y*/)[kN]) {
    return 1.0f;
  }
  __device__ static float magnitude_unit(float /*base*/) { return kLloydMagnitudeUnit; }
  __device__ float multiplier(float t) const { return t; }

  // The centroid nearest to u, in the unit of the search.
  __device__ int32_t round(uint32_t u) const {
    int32_t c = table.integers[0];
#pragma unroll
    for (int k = 0; k < kHalf - 1; ++k) {
      c = static_cast<int32_t>(u) > table.integer_boundaries[k] ? table.integers[k + 1] : c;
    }
    return c;
  }

  // Number of boundaries below v, and the centroid of that number. A tie takes the lower index, so
  // for v <= 0 boundaries equal to |v| count too: those below the next float.
  __device__ uint32_t find(float v, Effort /*effort*/, float& centroid) const {
    const uint32_t negative = v > 0 ? 0 : 1;
    const float m = __uint_as_float((__float_as_uint(v) & 0x7fffffffu) + negative);
    uint32_t count = 0;
    float c = table.centroids[0];
#pragma unroll
    for (int k = 0; k < kHalf - 1; ++k) {
      const bool above = table.boundaries[k] < m;
      count = above ? static_cast<uint32_t>(k + 1) : count;
      c = above ? table.centroids[k + 1] : c;
    }
    centroid = negative != 0 ? -c : c;
    return kHalf + (count ^ (0u - negative));
  }
};

template <int kBits>
struct UniformQuantizer {
  using Steps = IntegerSteps<kBits>;
  static constexpr int kHalf = 1 << (kBits - 1);
  static constexpr float kOffset = kBits == 6 ? 0.5f : 0.0f;
  static constexpr float kLastSteps = kHalf - 1 + kOffset;
  const UniformTable& table;

  template <int kN>
  __device__ float base_scale(const float (&y)[kN]) const {
    float largest = 0;
#pragma unroll
    for (int j = 0; j < kN; ++j) largest = fmaxf(largest, fabsf(y[j]));
#pragma unroll
    for (int step = kPartialSums / 2; step > 0; step /= 2) {
      largest = fmaxf(largest, from_lane(largest, step));
    }
    return largest > 0 ? largest / (kLastSteps * table.step) : 1.0f;
  }
  __device__ float magnitude_unit(float base) const {
    return Steps::kLastMagnitude / (base * (kLastSteps * table.step));
  }
  __device__ float multiplier(float t) const { return t * table.inverse_step; }

  __device__ int32_t round(uint32_t u) const {
    constexpr int kShift = Steps::kShift;
    const auto nearest = static_cast<int32_t>(kBits == 8 ? (u + (1u << (kShift - 1))) >> kShift
                                                         : u >> (kShift - 1) | 1u);
    return nearest < Steps::kLast ? nearest : int{Steps::kLast};
  }

  __device__ uint32_t find(float v, Effort effort, float& centroid) const {
    const float q = v + (kHalf - kOffset + 0.5f);
    const float last = 2 * kHalf - 1;
    const auto index = static_cast<int32_t>(fminf(fmaxf(q, lowest_index<kBits>(effort)), last));
    centroid = static_cast<float>(kBits == 8 ? index - kHalf : 2 * index - (2 * kHalf - 1)) *
               table.int8_unit;
    return static_cast<uint32_t>(index);
  }
};

// Elements of a group: those i with i % 16 = lane, in half a warp.
template <int kGroup>
struct HalfWarpGroup {
  static constexpr int kN = kGroup / kPartialSums;
  int lane;     // 0 .. 15
  float y[kN];  // rotated, norm 1

  // x: finite; element lane + 16 j. Returns the norm.
  __device__ float fill(const float (&x)[kN], const RotationMasks& masks, Effort effort) {
    double squares = 0;
#pragma unroll
    for (int j = 0; j < kN; ++j) squares = fma(double{x[j]}, double{x[j]}, squares);
    const float norm = group_norm(sum16(squares));
    normalise(x, norm > 0 ? norm : 1.0f, effort);
    rotate(masks);
    return norm;
  }
  // With the centroids of its elements.
  __device__ FitSums fit(const float (&c)[kN]) const {
    float yy = 0, yc = 0, cc = 0;
#pragma unroll
    for (int j = 0; j < kN; ++j) {
      yy += y[j] * y[j];
      yc += y[j] * c[j];
      cc += c[j] * c[j];
    }
    return {sum16(yy), sum16(yc), sum16(cc)};
  }

 private:
  __device__ void normalise(const float (&x)[kN], float divisor, Effort effort) {
    const float inverse = 1 / divisor;
    const bool divides = divides_exactly(effort, inverse);
#pragma unroll
    for (int j = 0; j < kN; ++j) y[j] = divides ? x[j] / divisor : x[j] * inverse;
  }

  // rotate_group() of hadamard.h.
  __device__ void rotate(const RotationMasks& masks) {
    flip_signs(masks.d1);
#pragma unroll
    for (int step = 1; step < kPartialSums; step *= 2) {
      const float sign = (lane & step) != 0 ? -1.0f : 1.0f;  // fmaf: a sum with one rounding
#pragma unroll
      for (int j = 0; j < kN; ++j) y[j] = fmaf(y[j], sign, from_lane(y[j], step));
    }
#pragma unroll
    for (int step = 1; step < kN; step *= 2) {
#pragma unroll
      for (int j = 0; j < kN; ++j) {
        if ((j & step) != 0) continue;
        const float a = y[j], b = y[j + step];
        y[j] = a + b;
        y[j + step] = a - b;
      }
    }
#pragma unroll
    for (int j = 0; j < kN; ++j) y[j] = y[j] * masks.scale;
    flip_signs(masks.d2);
  }

  __device__ void flip_signs(const uint32_t* mask) {
#pragma unroll
    for (int j = 0; j < kN; ++j) {
      const uint32_t minus = ~mask[j / 2] >> (lane + j % 2 * kPartialSums) & 1u;
      y[j] = __uint_as_float(__float_as_uint(y[j]) ^ minus << 31);
    }
  }
};

// Word w of the bit stream of indices.
template <int kBits, int kGroup>
__device__ __forceinline__ uint32_t pack_word(const uint8_t* index, int w) {
  const int first = 32 * w / kBits;  // whose bits begin in this word or the one before
  uint32_t word = 0;
#pragma unroll
  for (int k = 0; k < (32 % kBits == 0 ? 32 / kBits : 32 / kBits + 2); ++k) {
    const int shift = (first + k) * kBits - 32 * w;
    if (shift >= 32 || first + k >= kGroup) break;
    const uint32_t value = index[first + k];
    word |= shift >= 0 ? value << shift : value >> -shift;
  }
  return word;
}

template <int kGroup>
struct GroupIndices {
  uint8_t index[kGroup];
};

template <int kBits, int kGroup>
class HalfWarpEncoder {
 public:
  static constexpr int kThreads = 256;
  static constexpr int kN = HalfWarpGroup<kGroup>::kN;
  using Tables = EncoderTables<kBits>;
  using Shared = GroupIndices<kGroup>;

  // lane: 0 .. 15
  __device__ HalfWarpEncoder(const Tables& tables, int lane, Shared& shared)
      : t_(tables), quantizer_{tables.book}, s_(shared), group_{lane, {}} {}

  // x: finite. Writes the indices; returns the gain.
  __device__ float encode(const float (&x)[kN]) {
    const float norm = group_.fill(x, t_.masks, t_.effort);
    const bool reference = t_.effort == Effort::kReference;
    const float multiplier = quantizer_.multiplier(reference ? 1.0f : choose_factor());
    float c[kN];
#pragma unroll
    for (int j = 0; j < kN; ++j) {
      s_.index[group_.lane + kPartialSums * j] =
          static_cast<uint8_t>(quantizer_.find(group_.y[j] * multiplier, t_.effort, c[j]));
    }
    if (reference) {
      double squared_c = 0;
#pragma unroll
      for (int j = 0; j < kN; ++j) squared_c = fma(double{c[j]}, double{c[j]}, squared_c);
      return norm_correcting_gain(norm, sum16(squared_c));
    }
    return least_squares_gain(norm, group_.fit(c), t_.beta);
  }

 private:
  using Quantizer =
      std::conditional_t<kIsUniform<kBits>, UniformQuantizer<kBits>, LloydQuantizer<kBits>>;

  // The factor t for which the centroids nearest to t * y match y best up to a factor.
  __device__ float choose_factor() {
    const float base = quantizer_.base_scale(group_.y);
    if (t_.effort == Effort::kFast) return 1 / base;
    const float unit = quantizer_.magnitude_unit(base);
    uint32_t m[kN];
#pragma unroll
    for (int j = 0; j < kN; ++j) {
      m[j] = static_cast<uint32_t>(
          static_cast<int32_t>(fminf(fabsf(group_.y[j]) * unit + 0.5f, float{kMaxMagnitude})));
    }
    ScaleChoice choice(kRefitUnit<kBits>);
    for (int k = 0; k < t_.search.count; ++k) attempt(m, t_.search.factors[k], choice);
    // All lanes of the warp go on together: where one group's search has ended another attempt is
    // the same as the one before and changes nothing.
    for (int k = 0; k < t_.search.refits; ++k) attempt(m, choice.refit(), choice);
    return choice.best() / base;
  }

  __device__ void attempt(const uint32_t (&m)[kN], uint32_t r, ScaleChoice& choice) const {
    uint32_t yc = 0, cc = 0;
#pragma unroll
    for (int j = 0; j < kN; ++j) {
      const int32_t c = quantizer_.round(m[j] * r >> 16);
      yc += m[j] * static_cast<uint32_t>(c);
      cc += static_cast<uint32_t>(c * c);
    }
    choice.offer(r, sum16(yc), sum16(cc));
  }

  const Tables& t_;
  const Quantizer quantizer_;
  Shared& s_;
  HalfWarpGroup<kGroup> group_;
};

}  // namespace tq::cuda
