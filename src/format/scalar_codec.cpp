#include "format/scalar_codec.h"

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cmath>

#include "base/check.h"
#include "base/float16.h"
#include "format/codebook.h"
#include "format/hadamard.h"

namespace tq {
namespace {

constexpr int kMaxGroup = 256;
constexpr int kLanes = 8;  // partial sums of a reduction, in a fixed order: reproducible

// sum of a[i] * b[i] over n (a multiple of kLanes) values, in Sum's precision.
template <typename Sum>
Sum dot(const float* a, const float* b, int n) {
  Sum lanes[kLanes] = {};
  for (int i = 0; i < n; i += kLanes) {
    for (int k = 0; k < kLanes; ++k) lanes[k] += static_cast<Sum>(a[i + k]) * b[i + k];
  }
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
         ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

// How the scale of a group is chosen: the rotated vector is quantised at `count` scales between
// first and last, then `refits` times at its own least-squares scale, keeping the best. Scales are
// relative to the codebook's own for Lloyd codebooks, and to the one that puts the largest value on
// the last centroid for uniform ones.
struct ScaleSearch {
  float first;
  float last;
  int count;
  int refits;
};

// The nearest-centroid rules of a codebook whose cells have unequal widths.
template <int kBits>
class LloydQuantizer {
 public:
  explicit LloydQuantizer(const Codebook& book) {
    smallest_ = book.centroids[kHalf];
    for (int k = 0; k < kBoundaries; ++k) {
      boundary_[k] = book.boundaries[kHalf + k];
      step_[k] = book.centroids[kHalf + k + 1] - book.centroids[kHalf + k];
    }
  }

  static ScaleSearch search(Effort effort) {
    switch (effort) {
      case Effort::kDefault:
        return {kFirst, kLast, 11, 3};
      case Effort::kBest:
        return {kFirst - 0.08f, kLast + 0.08f, 49, 6};
      default:
        return {1.0f, 1.0f, 1, 0};
    }
  }

  static float base_scale(const float* /*magnitude*/, int /*n*/) { return 1.0f; }

  // c[i] = the centroid nearest to magnitude[i] * t.
  void round(const float* magnitude, int n, float t, float* c) const {
    const LloydQuantizer self = *this;  // a local, which c cannot alias, or the loop stays scalar
    for (int i = 0; i < n; ++i) {
      const float m = magnitude[i] * t;
      float sum = self.smallest_;
      for (int k = 0; k < kBoundaries; ++k) sum += m > self.boundary_[k] ? self.step_[k] : 0.0f;
      c[i] = sum;
    }
  }

  // index[i] = number of boundaries below y[i] * t.
  void index(const float* y, int n, float t, uint8_t* index) const {
    for (int i = 0; i < n; ++i) {
      const float v = y[i] * t;
      // By symmetry only the positive boundaries are compared. A tie takes the lower index, so for
      // v <= 0 boundaries *equal* to |v| count too: those below the next float.
      const uint32_t negative = v > 0 ? 0 : 1;
      const float m = std::bit_cast<float>((std::bit_cast<uint32_t>(v) & 0x7fffffffu) + negative);
      uint32_t count = 0;
      for (int k = 0; k < kBoundaries; ++k) count += boundary_[k] < m ? 1u : 0u;
      index[i] = static_cast<uint8_t>(kHalf + (count ^ (0u - negative)));  // ~count = -1 - count
    }
  }

 private:
  static constexpr int kHalf = 1 << (kBits - 1);
  static constexpr int kBoundaries = kHalf - 1;  // positive ones
  // Where the best scales of Gaussian groups lie. The outermost of 32 centroids is rarely reached
  // by a group, so 5 bits gain from smaller scales.
  static constexpr float kFirst = kBits == 5 ? 0.68f : 0.78f;
  static constexpr float kLast = kBits == 5 ? 1.16f : 1.28f;
  float smallest_;
  float boundary_[kBoundaries];
  float step_[kBoundaries];
};

// The same for centroids at equal distances: arithmetic instead of comparisons.
template <int kBits>
class UniformQuantizer {
 public:
  explicit UniformQuantizer(const Codebook& book)
      : step_(book.step), inverse_step_(1 / book.step) {}

  static ScaleSearch search(Effort effort) {
    switch (effort) {
      case Effort::kDefault:
        return {0.97f, 1.06f, 11, 3};
      case Effort::kBest:
        return {0.95f, 1.12f, 49, 6};
      default:
        return {1.0f, 1.0f, 1, 0};
    }
  }

  float base_scale(const float* magnitude, int n) const {
    const float largest = *std::max_element(magnitude, magnitude + n);
    return largest > 0 ? largest / ((kHalf - 1 + kOffset) * step_) : 1.0f;
  }

  void round(const float* magnitude, int n, float t, float* c) const {
    const float multiplier = t * inverse_step_, step = step_;
    for (int i = 0; i < n; ++i) {
      const int steps = static_cast<int>(magnitude[i] * multiplier + (0.5f - kOffset));
      c[i] = (static_cast<float>(std::min(steps, kHalf - 1)) + kOffset) * step;
    }
  }

  void index(const float* y, int n, float t, uint8_t* index) const {
    const float multiplier = t * inverse_step_;
    for (int i = 0; i < n; ++i) {
      const float q = y[i] * multiplier + (kHalf - kOffset + 0.5f);
      index[i] = static_cast<uint8_t>(
          static_cast<int>(std::clamp(q, 0.0f, static_cast<float>(2 * kHalf - 1))));
    }
  }

 private:
  static constexpr int kHalf = 1 << (kBits - 1);
  // Index kHalf stands for kOffset steps: 6 bits have no zero, 8 bits do.
  static constexpr float kOffset = kBits == 6 ? 0.5f : 0.0f;
  float step_;
  float inverse_step_;
};

template <int kBits>
struct QuantizerFor {
  using Type = LloydQuantizer<kBits>;
};
template <>
struct QuantizerFor<6> {
  using Type = UniformQuantizer<6>;
};
template <>
struct QuantizerFor<8> {
  using Type = UniformQuantizer<8>;
};

// Encodes the groups of one row, one at a time.
template <int kBits>
class GroupEncoder {
 public:
  GroupEncoder(int group, const EncodeOptions& options)
      : book_(codebook(kBits, group)), quantizer_(book_), group_(group), options_(options) {}

  EncodeStats encode(const float* x, uint8_t* codes, float* gain) {
    const double squared_norm = dot<double>(x, x, group_);
    // Clamped: groups beyond fp32's range still get a finite (and far too large to store) gain.
    const auto norm = static_cast<float>(std::min<double>(std::sqrt(squared_norm), FLT_MAX));
    const float divisor = norm > 0 ? norm : 1.0f;
    for (int i = 0; i < group_; ++i) y_[i] = x[i] / divisor;
    rotate_group(y_, group_);

    const bool reference = options_.effort == Effort::kReference;
    quantizer_.index(y_, group_, reference ? 1.0f : best_inverse_scale(), index_);
    for (int i = 0; i < group_; ++i) c_[i] = book_.centroids[index_[i]];
    *gain = std::min(reference ? norm_correcting_gain(norm) : least_squares_gain(norm), FLT_MAX);
    pack<kBits>(index_, group_, codes);
    return {squared_norm * relative_error(reference ? *gain : as_stored(*gain), divisor),
            squared_norm};
  }

 private:
  // The factor t for which the centroids nearest to t * y match y best up to a factor: the largest
  // <y,c>^2 / <c,c>, which is the squared norm that the least-squares fit explains.
  float best_inverse_scale() {
    const ScaleSearch search = quantizer_.search(options_.effort);
    for (int i = 0; i < group_; ++i) magnitude_[i] = std::fabs(y_[i]);
    const float base = quantizer_.base_scale(magnitude_, group_);
    if (search.count == 1) return 1 / (base * search.first);
    float best_t = 1.0f, best_score = -1.0f, refit = 1.0f;
    const auto attempt = [&](float t) {
      quantizer_.round(magnitude_, group_, t, c_);
      const float yc = dot<float>(magnitude_, c_, group_);
      const float cc = dot<float>(c_, c_, group_);
      const float score = cc > 0 ? yc * yc / cc : 0.0f;
      if (score <= best_score) return false;
      best_score = score;
      best_t = t;
      if (yc > 0) refit = cc / yc;
      return true;
    };
    const float width = (search.last - search.first) / static_cast<float>(search.count - 1);
    for (int k = 0; k < search.count; ++k) {
      attempt(1 / (base * (search.first + width * static_cast<float>(k))));
    }
    for (int k = 0; k < search.refits && attempt(refit); ++k) {
    }
    return best_t;
  }

  // The reference library's gain: restores the norm.
  float norm_correcting_gain(float norm) const {
    const auto c_norm = static_cast<float>(std::sqrt(dot<double>(c_, c_, group_)));
    return norm / (c_norm > 0 ? c_norm : 1.0f);
  }

  // The gain with the least squared error, times 1 + beta * D against its shrinkage.
  float least_squares_gain(float norm) const {
    const float yy = dot<float>(y_, y_, group_);
    const float yc = dot<float>(y_, c_, group_);
    const float cc = dot<float>(c_, c_, group_);
    if (!(yc > 0) || !(cc > 0)) return 0.0f;
    const float distortion = std::max(0.0f, 1 - yc * yc / (cc * yy));
    return norm * (yc / cc) * (1 + options_.beta * distortion);
  }

  // The value of a gain after its rounding to f16, where it fits.
  static float as_stored(float gain) {
    const float stored = f16_to_f32(f32_to_f16(gain));
    return std::isfinite(stored) ? stored : gain;
  }

  // ||y - a * c||^2 for the a that `gain` means in units of the norm.
  double relative_error(float gain, float norm) {
    const float a = gain / norm;
    for (int i = 0; i < group_; ++i) magnitude_[i] = y_[i] - a * c_[i];
    return dot<float>(magnitude_, magnitude_, group_);
  }

  const Codebook& book_;
  typename QuantizerFor<kBits>::Type quantizer_;
  int group_;
  const EncodeOptions& options_;
  alignas(64) float y_[kMaxGroup];          // rotated, norm 1
  alignas(64) float magnitude_[kMaxGroup];  // |y|, later the residual
  alignas(64) float c_[kMaxGroup];          // centroids chosen for y
  alignas(64) uint8_t index_[kMaxGroup];
};

}  // namespace

template <int kBits>
EncodeStats ScalarCodec<kBits>::encode_row(const float* x, int64_t in_padded, int group,
                                           const EncodeOptions& options, uint8_t* codes,
                                           float* gains) {
  GroupEncoder<kBits> encoder(group, options);
  EncodeStats stats;
  for (int64_t i = 0; i < in_padded; i += group) {
    stats.add(encoder.encode(x + i, codes + packed_bytes(i, kBits), gains + i / group));
  }
  return stats;
}

template <int kBits>
void ScalarCodec<kBits>::decode_row(const uint8_t* codes, const uint16_t* gains, int64_t in_padded,
                                    int group, float* out) {
  const float* centroids = codebook(kBits, group).centroids.data();
  for (int64_t start = 0; start < in_padded; start += group) {
    const float gain = f16_to_f32(gains[start / group]);
    for (int64_t i = start; i < start + group; i += 8) {
      uint8_t index[8];
      unpack8<kBits>(codes + packed_bytes(i, kBits), index);
      for (int k = 0; k < 8; ++k) out[i + k] = gain * centroids[index[k]];
    }
  }
}

template struct ScalarCodec<2>;
template struct ScalarCodec<3>;
template struct ScalarCodec<4>;
template struct ScalarCodec<5>;
template struct ScalarCodec<6>;
template struct ScalarCodec<8>;

}  // namespace tq
