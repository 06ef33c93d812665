// The encoder of the formats tq2 .. tq8, once an instruction set, and what its versions and that of
// the GPU (kernels/cuda/encode) share. Private to them, tests and benchmarks. Pure functions;
// thread safe.
//
// Every version writes the same bytes: sums of floats are kept in 16 partial sums, element i in
// number i % 16, to which their upper halves are added, 8, 4, 2 and 1 of them; products and sums
// are rounded one by one (this folder is compiled without contraction) or are exact, as squares of
// floats in double are; and the search for a scale computes with integers.
#pragma once

#include <algorithm>
#include <array>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <span>

#include "base/cpu_features.h"
#include "base/float16.h"
#include "base/host_device.h"
#include "format/codebook.h"
#include "format/traits.h"

namespace tq {

// FormatTraits::encode_rows of one format.
using ScalarEncodeRow = EncodeStats (*)(const float* x, int64_t in_padded, int group,
                                        const EncodeOptions& options, uint8_t* codes, float* gains);

// Null for widths without a codebook.
using ScalarEncodersByBits = std::array<ScalarEncodeRow, kMaxCodeBits + 1>;

struct ScalarEncoders {
  Isa isa;
  ScalarEncodersByBits by_bits;
};

const ScalarEncoders& generic_scalar_encoders();
const ScalarEncoders& avx2_scalar_encoders();    // on x86-64 only
const ScalarEncoders& avx512_scalar_encoders();  // on x86-64 only
const ScalarEncoders& scalar_encoders(Isa isa);  // one of available_isas()

constexpr int kMaxEncodedGroup = 256;
constexpr int kPartialSums = 16;

template <int kBits>
constexpr bool kIsUniform = kBits == 6 || kBits == 8;

// --- Sums ---

// The sum of 16 partial sums, in the order of vectors that are halved.
template <typename Sum>
Sum sum16(Sum (&lanes)[kPartialSums]) {
  for (int width = kPartialSums / 2; width > 0; width /= 2) {
    for (int k = 0; k < width; ++k) lanes[k] += lanes[k + width];
  }
  return lanes[0];
}

// sum of a[i] * b[i] over n (a multiple of 16) values, in Sum's precision.
template <typename Sum>
Sum dot(const float* a, const float* b, int n) {
  Sum lanes[kPartialSums] = {};
  for (int i = 0; i < n; i += kPartialSums) {
    for (int k = 0; k < kPartialSums; ++k) lanes[k] += static_cast<Sum>(a[i + k]) * b[i + k];
  }
  return sum16(lanes);
}

// --- The norm ---

// Clamped: groups beyond fp32's range still get a finite (and far too large to store) gain.
TQ_HOST_DEVICE inline float group_norm(double squared_norm) {
  return static_cast<float>(std::min<double>(std::sqrt(squared_norm), FLT_MAX));
}

// Other efforts than the reference multiply by 1 / norm where that is a normal number.
TQ_HOST_DEVICE inline bool divides_exactly(Effort effort, float inverse) {
  return effort == Effort::kReference || !(inverse >= FLT_MIN && inverse <= FLT_MAX);
}

// y = x / divisor, as the effort divides.
inline void normalise(const float* x, float divisor, Effort effort, int n, float* y) {
  const float inverse = 1 / divisor;
  if (divides_exactly(effort, inverse)) {
    for (int i = 0; i < n; ++i) y[i] = x[i] / divisor;
  } else {
    for (int i = 0; i < n; ++i) y[i] = x[i] * inverse;
  }
}

// --- The gain ---

// The reference library's: restores the norm.
TQ_HOST_DEVICE inline float norm_correcting_gain(float norm, double squared_c) {
  const auto c_norm = static_cast<float>(std::sqrt(squared_c));
  return std::min(norm / (c_norm > 0 ? c_norm : 1.0f), FLT_MAX);
}

// Inner products of y, of norm 1, and of the centroids chosen for it.
struct FitSums {
  float yy, yc, cc;
};

inline FitSums fit_sums(const float* y, const float* c, int n) {
  return {dot<float>(y, y, n), dot<float>(y, c, n), dot<float>(c, c, n)};
}

// ||y - a * c||^2
inline double squared_residual(const float* y, const float* c, float a, int n) {
  float residual[kMaxEncodedGroup];
  for (int i = 0; i < n; ++i) residual[i] = y[i] - a * c[i];
  return dot<float>(residual, residual, n);
}

// The gain with the least squared error, times 1 + beta * D against its shrinkage.
TQ_HOST_DEVICE inline float least_squares_gain(float norm, const FitSums& sums, float beta) {
  if (!(sums.yc > 0) || !(sums.cc > 0)) return 0.0f;
  const float distortion = std::max(0.0f, 1 - sums.yc * sums.yc / (sums.cc * sums.yy));
  return std::min(norm * (sums.yc / sums.cc) * (1 + beta * distortion), FLT_MAX);
}

// The value of a gain after its rounding to f16, where it fits.
inline float gain_as_stored(float gain) {
  const uint16_t half = f32_to_f16(gain);
  return (half & 0x7fff) < 0x7c00 ? f16_to_f32(half) : gain;
}

// --- The search for the scale ---
//
// The rotated vector is quantised at several factors t, then a few times at its own least-squares
// factor, and the t whose centroids c explain most of it, <y,c>^2 / <c,c>, is kept. Of |y|, c and t
// only integers are used, 15 to 16 bits of each:
//   m = |y| * unit + 1/2    r = t * 2^15    u = m * r >> 16    c = the centroid nearest to u

// Factors are relative to the codebook's own scale for Lloyd codebooks, and for uniform ones to the
// factor that puts the largest magnitude on the last centroid.
struct ScaleSearch {
  static constexpr int kMaxCount = 49;
  int count = 0;
  int refits = 0;
  std::array<uint16_t, kMaxCount> factors{};  // r

  // Scales 1 / t, evenly spaced.
  constexpr ScaleSearch(float first, float last, int n, int n_refits) : count(n), refits(n_refits) {
    for (int k = 0; k < n; ++k) {
      const float scale =
          first + (last - first) / static_cast<float>(n - 1) * static_cast<float>(k);
      factors[static_cast<size_t>(k)] = static_cast<uint16_t>(32768 / scale + 0.5f);
    }
  }
};

// Where the best scales of Gaussian groups lie. The outermost of 32 centroids is rarely reached by
// a group, so 5 bits gain from smaller scales.
template <int kBits>
const ScaleSearch& scale_search(Effort effort) {
  constexpr float kFirst = kIsUniform<kBits> ? 0.97f : kBits == 5 ? 0.68f : 0.78f;
  constexpr float kLast = kIsUniform<kBits> ? 1.06f : kBits == 5 ? 1.16f : 1.28f;
  constexpr float kBelow = kIsUniform<kBits> ? 0.02f : 0.08f;
  constexpr float kAbove = kIsUniform<kBits> ? 0.06f : 0.08f;
  static constexpr ScaleSearch kDefault(kFirst, kLast, 11, 3);
  static constexpr ScaleSearch kBest(kFirst - kBelow, kLast + kAbove, 49, 6);
  return effort == Effort::kBest ? kBest : kDefault;
}

// What |y| <= 1 is multiplied with for Lloyd codebooks.
constexpr float kLloydMagnitudeUnit = 32768;
constexpr float kMaxMagnitude = 32767;

// The positive half of a Lloyd codebook in the unit of u.
template <int kBits>
struct IntegerCodebook {
  static constexpr int kHalf = 1 << (kBits - 1);
  std::array<int16_t, kHalf> centroids;
  std::array<int16_t, kHalf - 1> boundaries;  // c is centroid number k where k boundaries are < u

  explicit IntegerCodebook(const Codebook& book) {
    constexpr float kUnit = kLloydMagnitudeUnit / 2;
    for (size_t k = 0; k < kHalf; ++k) {
      centroids[k] = static_cast<int16_t>(std::lround(book.centroids[kHalf + k] * kUnit));
    }
    for (size_t k = 0; k + 1 < kHalf; ++k) {  // u has been rounded down: > b - 1 means >= b
      boundaries[k] = static_cast<int16_t>(std::lround(book.boundaries[kHalf + k] * kUnit) - 1);
    }
  }
};

// Uniform codebooks: u is in steps << kShift, the largest magnitude in m is on the last centroid.
// Of 8 bits c is in steps and rounded: (u + half) >> shift; of 6 bits, whose centroids are odd
// half-steps, in half-steps: u >> (shift - 1) | 1.
template <int kBits>
struct IntegerSteps {
  static constexpr int kShift = kBits == 8 ? 7 : 9;
  static constexpr int kLast = kBits == 8 ? 127 : 63;                                   // of c
  static constexpr float kLastMagnitude = kBits == 8 ? 127 * 256.0f : 31.5f * 1024.0f;  // of m
};

// Eight bits have one more negative centroid than positive ones. Only the reference uses it: the
// search treats both signs alike.
template <int kBits>
TQ_HOST_DEVICE constexpr float lowest_index(Effort effort) {
  return kBits == 8 && effort != Effort::kReference ? 1.0f : 0.0f;
}

// What cc / yc is multiplied with to give the least-squares r.
template <int kBits>
constexpr float kRefitUnit = kBits == 8   ? 0x1p23f
                             : kBits == 6 ? 0x1p24f
                                          : 0x1p16f;

// Keeps the best factor that it is offered, the first of equals.
class ScaleChoice {
 public:
  TQ_HOST_DEVICE explicit ScaleChoice(float refit_unit) : refit_unit_(refit_unit) {}

  // The sums of m * c and c * c at factor r. False when that is no better than the best so far.
  // Sums of groups beyond fp32's range may wrap around.
  TQ_HOST_DEVICE bool offer(uint32_t r, uint32_t yc, uint32_t cc) {
    const float explained = static_cast<float>(yc);
    const float score = cc > 0 ? explained * explained / static_cast<float>(cc) : 0.0f;
    if (score <= score_) return false;
    score_ = score;
    r_ = r;
    yc_ = yc;
    cc_ = cc;
    return true;
  }
  // The r at which the best centroids fit with the least squares.
  TQ_HOST_DEVICE uint32_t refit() const {
    if (yc_ == 0) return r_;
    const float r = static_cast<float>(cc_) / static_cast<float>(yc_) * refit_unit_ + 0.5f;
    return static_cast<uint32_t>(std::min(r, 65535.0f));
  }
  TQ_HOST_DEVICE float best() const { return static_cast<float>(r_) * 0x1p-15f; }  // t

 private:
  float refit_unit_;
  float score_ = -1;
  uint32_t r_ = 1 << 15;
  uint32_t yc_ = 0;
  uint32_t cc_ = 0;
};

}  // namespace tq
