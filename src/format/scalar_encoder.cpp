// The portable encoder, and the choice among all.
#include "format/scalar_encoder.h"

#include <bit>

#include "base/check.h"
#include "format/hadamard.h"
#include "format/packing.h"

namespace tq {
namespace {

// The nearest-centroid rules of a codebook whose cells have unequal widths.
template <int kBits>
class LloydQuantizer {
 public:
  explicit LloydQuantizer(const Codebook& book) : integers_(book) {
    for (int k = 0; k < kBoundaries; ++k) boundary_[k] = book.boundaries[kHalf + k];
  }

  static float base_scale(const float* /*y*/, int /*n*/) { return 1.0f; }
  static float magnitude_unit(float /*base*/) { return kLloydMagnitudeUnit; }

  // c[i] = the centroid nearest to u[i].
  void round(const uint16_t* u, int n, int16_t* c) const {
    const IntegerCodebook<kBits> book = integers_;  // a local, which c cannot alias
    for (int i = 0; i < n; ++i) {
      int16_t sum = book.centroids[0];
      for (int k = 0; k < kBoundaries; ++k) {
        const auto step = static_cast<int16_t>(book.centroids[k + 1] - book.centroids[k]);
        sum = static_cast<int16_t>(
            sum + (static_cast<int16_t>(u[i]) > book.boundaries[k] ? step : int16_t{0}));
      }
      c[i] = sum;
    }
  }

  // index[i] = number of boundaries below y[i] * t.
  void index(std::span<const float> y, float t, Effort /*effort*/, uint8_t* index) const {
    for (size_t i = 0; i < y.size(); ++i) {
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
  IntegerCodebook<kBits> integers_;
  float boundary_[kBoundaries];
};

// The same for centroids at equal distances: arithmetic instead of comparisons.
template <int kBits>
class UniformQuantizer {
 public:
  explicit UniformQuantizer(const Codebook& book)
      : step_(book.step), inverse_step_(1 / book.step) {}

  // That puts the largest magnitude on the last centroid.
  float base_scale(const float* y, int n) const {
    float largest = 0;
    for (int i = 0; i < n; ++i) largest = std::max(largest, std::fabs(y[i]));
    return largest > 0 ? largest / ((kHalf - 1 + kOffset) * step_) : 1.0f;
  }
  float magnitude_unit(float base) const {
    return Steps::kLastMagnitude / (base * ((kHalf - 1 + kOffset) * step_));
  }

  void round(const uint16_t* u, int n, int16_t* c) const {
    constexpr int kShift = Steps::kShift;
    for (int i = 0; i < n; ++i) {
      const int nearest =
          kBits == 8 ? (u[i] + (1 << (kShift - 1))) >> kShift : u[i] >> (kShift - 1) | 1;
      c[i] = static_cast<int16_t>(std::min(nearest, Steps::kLast));
    }
  }

  void index(std::span<const float> y, float t, Effort effort, uint8_t* index) const {
    const float multiplier = t * inverse_step_;
    const float lowest = lowest_index<kBits>(effort);
    for (size_t i = 0; i < y.size(); ++i) {
      const float q = y[i] * multiplier + (kHalf - kOffset + 0.5f);
      index[i] = static_cast<uint8_t>(
          static_cast<int>(std::clamp(q, lowest, static_cast<float>(2 * kHalf - 1))));
    }
  }

 private:
  using Steps = IntegerSteps<kBits>;
  static constexpr int kHalf = 1 << (kBits - 1);
  // Index kHalf stands for kOffset steps: 6 bits have no zero, 8 bits do.
  static constexpr float kOffset = kBits == 6 ? 0.5f : 0.0f;
  float step_;
  float inverse_step_;
};

// Encodes the groups of one row, one at a time.
template <int kBits>
class GroupEncoder {
 public:
  GroupEncoder(int group, const EncodeOptions& options)
      : book_(codebook(kBits, group)), quantizer_(book_), group_(group), options_(options) {}

  EncodeStats encode(const float* x, uint8_t* codes, float* gain) {
    const double squared_norm = dot<double>(x, x, group_);
    const float norm = group_norm(squared_norm);
    const float divisor = norm > 0 ? norm : 1.0f;
    normalise(x, divisor, options_.effort, group_, y_);
    rotate_group(y_, group_);

    const bool reference = options_.effort == Effort::kReference;
    const float t = reference ? 1.0f : choose_factor();
    quantizer_.index({y_, static_cast<size_t>(group_)}, t, options_.effort, index_);
    for (int i = 0; i < group_; ++i) c_[i] = book_.centroids[index_[i]];
    *gain = reference ? norm_correcting_gain(norm, dot<double>(c_, c_, group_))
                      : least_squares_gain(norm, fit_sums(y_, c_, group_), options_.beta);
    pack<kBits>(index_, group_, codes);
    return {
        squared_norm *
            squared_residual(y_, c_, (reference ? *gain : gain_as_stored(*gain)) / divisor, group_),
        squared_norm};
  }

 private:
  // The factor t for which the centroids nearest to t * y match y best up to a factor.
  float choose_factor() {
    const float base = quantizer_.base_scale(y_, group_);
    if (options_.effort == Effort::kFast) return 1 / base;
    const float unit = quantizer_.magnitude_unit(base);
    for (int i = 0; i < group_; ++i) {
      const float m = std::min(std::fabs(y_[i]) * unit + 0.5f, kMaxMagnitude);
      magnitude_[i] = static_cast<uint16_t>(static_cast<int>(m));
    }
    const ScaleSearch& search = scale_search<kBits>(options_.effort);
    ScaleChoice choice(kRefitUnit<kBits>);
    for (int k = 0; k < search.count; ++k) {
      attempt(search.factors[static_cast<size_t>(k)], choice);
    }
    for (int k = 0; k < search.refits && attempt(choice.refit(), choice); ++k) {
    }
    return choice.best() / base;
  }

  bool attempt(uint32_t r, ScaleChoice& choice) {
    for (int i = 0; i < group_; ++i) u_[i] = static_cast<uint16_t>(magnitude_[i] * r >> 16);
    quantizer_.round(u_, group_, rounded_);
    uint32_t yc = 0, cc = 0;
    for (int i = 0; i < group_; ++i) {
      yc += static_cast<uint32_t>(int{static_cast<int16_t>(magnitude_[i])} * rounded_[i]);
      cc += static_cast<uint32_t>(int{rounded_[i]} * rounded_[i]);
    }
    return choice.offer(r, yc, cc);
  }

  using Quantizer =
      std::conditional_t<kIsUniform<kBits>, UniformQuantizer<kBits>, LloydQuantizer<kBits>>;
  const Codebook& book_;
  const Quantizer quantizer_;
  const int group_;
  const EncodeOptions& options_;
  alignas(64) float y_[kMaxEncodedGroup];  // rotated, norm 1
  alignas(64) float c_[kMaxEncodedGroup];  // centroids chosen for y
  alignas(64) uint16_t magnitude_[kMaxEncodedGroup];
  alignas(64) uint16_t u_[kMaxEncodedGroup];
  alignas(64) int16_t rounded_[kMaxEncodedGroup];
  alignas(64) uint8_t index_[kMaxEncodedGroup];
};

template <int kBits>
EncodeStats encode_row(const float* x, int64_t in_padded, int group, const EncodeOptions& options,
                       uint8_t* codes, float* gains) {
  GroupEncoder<kBits> encoder(group, options);
  EncodeStats stats;
  for (int64_t i = 0; i < in_padded; i += group) {
    stats.add(encoder.encode(x + i, codes + packed_bytes(i, kBits), gains + i / group));
  }
  return stats;
}

template <int... kWidths>
constexpr ScalarEncodersByBits encoders_of(std::integer_sequence<int, kWidths...>) {
  ScalarEncodersByBits by_bits{};
  ((by_bits[kWidths] = encode_row<kWidths>), ...);
  return by_bits;
}

}  // namespace

const ScalarEncoders& generic_scalar_encoders() {
  static constexpr ScalarEncoders kEncoders{Isa::kGeneric, encoders_of(CodebookWidths{})};
  return kEncoders;
}

const ScalarEncoders& scalar_encoders(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) return avx512_scalar_encoders();
  if (isa == Isa::kAvx2) return avx2_scalar_encoders();
#endif
  TQ_CHECK(isa == Isa::kGeneric, "no encoder for {}", isa_name(isa));
  return generic_scalar_encoders();
}

}  // namespace tq
