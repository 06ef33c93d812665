#include "format/int_groups.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/float16.h"
#include "format/packing.h"

namespace tq {
namespace {

// Adding and subtracting it rounds to the nearest integer, ties to even, what is below 2^22.
constexpr float kRounder = 12582912.0f;
// A group whose largest weight is below this is stored as zeros: its scale would be no number that
// can be divided by.
constexpr float kLeastWeight = 0x1.0p-100f;
constexpr int kLanes = 8;  // groups are multiples of it
constexpr int kMostGroup = 128;

// How a search goes: scales are tried from `low` to `high` times that of plain rounding.
struct Grid {
  float low;
  float high;
  int steps;
  int refits;
};

// The best factor falls with the levels: the fewer there are, the more a narrower range gains over
// what it cuts off. Outside of these ranges no group of Gaussian weights had its best.
Grid grid_of(int bits, Effort effort) {
  Grid grid{.low = 0.62f, .high = 1.08f, .steps = 24, .refits = 2};
  if (bits == 3) grid.low = 0.5f;
  if (bits == 8) grid = {.low = 0.94f, .high = 1.01f, .steps = 16, .refits = 2};
  if (effort == Effort::kFast) grid.steps /= 3;
  if (effort == Effort::kBest) {
    grid.steps *= 4;
    grid.refits = 6;
  }
  return grid;
}

float scale_to_f32(IntScale type, uint16_t scale) {
  return type == IntScale::kF16 ? f16_to_f32(scale) : bf16_to_f32(scale);
}

uint16_t round_scale(IntScale type, float scale) {
  if (type == IntScale::kBf16) return f32_to_bf16(scale);
  return std::max<uint16_t>(f32_to_f16(scale), 1);  // not 0: the smallest number there is
}

// To the bits of a 16-bit number's mantissa: of f16 as if it had no subnormals, which vector code
// does quickly and a search need not know.
float round_product(float value, int dropped_bits) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t odd = (bits >> dropped_bits) & 1u;
  const uint32_t half = (1u << (dropped_bits - 1)) - 1;
  return std::bit_cast<float>((bits + half + odd) & ~((1u << dropped_bits) - 1));
}

struct Candidate {
  uint16_t scale = 0;
  int zero = 0;
  float error = std::numeric_limits<float>::infinity();
};

// One group on its way to its best scale and zero point.
class GroupSearch {
 public:
  GroupSearch(const float* x, const IntScheme& scheme) : x_(x), scheme_(scheme) {
    double square = 0;
    for (int i = 0; i < scheme.group; ++i) {
      low_ = std::min(low_, x[i]);
      high_ = std::max(high_, x[i]);
      square += double{x[i]} * double{x[i]};
    }
    const double sigma = std::sqrt(square / scheme.group);
    for (int i = 0; i < scheme.group; ++i) {
      const auto one = static_cast<float>(1 + std::abs(double{x[i]}) / sigma);
      importance_[i] = one * one * one;
    }
  }

  bool is_zero() const { return std::max(-low_, high_) < kLeastWeight; }

  Candidate plain() {
    const float scale = plain_scale();
    consider(scale, scheme_.symmetric ? scheme_.middle()
                                      : static_cast<int>(std::nearbyint(-low_ / rounded(scale))));
    return best_;
  }

  // After plain().
  Candidate search(Effort effort) {
    const Grid grid = grid_of(scheme_.bits, effort);
    const float base = plain_scale();
    for (int i = 0; i < grid.steps; ++i) {
      const float part = static_cast<float>(i) / static_cast<float>(grid.steps - 1);
      try_scale(base * (grid.low + (grid.high - grid.low) * part));
    }
    for (int i = 0; i < grid.refits; ++i) {
      const float before = best_.error;
      refit();
      if (!(best_.error < before)) break;
    }
    return best_;
  }

  // Codes with the candidate's scale and zero point.
  void store(const Candidate& chosen, uint8_t* codes) const {
    const float inverse = 1 / scale_to_f32(scheme_.scale, chosen.scale);
    for (int i = 0; i < scheme_.group; ++i) {
      codes[i] = static_cast<uint8_t>(level(x_[i] * inverse, chosen.zero) +
                                      static_cast<float>(chosen.zero));
    }
  }

 private:
  float plain_scale() const {
    const auto most = static_cast<float>(scheme_.most());
    if (scheme_.symmetric) return std::max(-low_, high_) / (most / 2);
    return (high_ - low_) / most;
  }
  float rounded(float scale) const {
    return scale_to_f32(scheme_.scale, round_scale(scheme_.scale, scale));
  }

  // code - zero for a weight in units of the scale.
  float level(float x, int zero) const {
    const float whole = (x + kRounder) - kRounder;
    return std::min(std::max(whole, static_cast<float>(-zero)),
                    static_cast<float>(scheme_.most() - zero));
  }

  void consider(float scale, int zero) {
    zero = std::clamp(zero, 0, scheme_.most());
    const uint16_t stored = round_scale(scheme_.scale, scale);
    const float step = scale_to_f32(scheme_.scale, stored);
    const float error = squared_error(step, zero);
    if (error < best_.error) best_ = {stored, zero, error};
  }

  // Sums in lanes: vector code adds in this order, too.
  float squared_error(float step, int zero) const {
    const float inverse = 1 / step;
    const int dropped = scheme_.scale == IntScale::kF16 ? 13 : 16;
    float sums[kLanes] = {};
    for (int i = 0; i < scheme_.group; i += kLanes) {
      for (int j = 0; j < kLanes; ++j) {
        const float product = round_product(step * level(x_[i + j] * inverse, zero), dropped);
        const float difference = x_[i + j] - product;
        sums[j] += importance_[i + j] * (difference * difference);
      }
    }
    float sum = 0;
    for (const float part : sums) sum += part;
    return sum;
  }

  // With zero points that keep the lower end, the upper end, or cut off as much of both.
  void try_scale(float scale) {
    if (scheme_.symmetric) return consider(scale, scheme_.middle());
    const float step = rounded(scale);
    const auto most = static_cast<float>(scheme_.most());
    const int low = static_cast<int>(std::nearbyint(-low_ / step));
    const int high = static_cast<int>(std::nearbyint(most - high_ / step));
    const int middle = static_cast<int>(std::floor((most - (low_ + high_) / step) / 2));
    int tried[4] = {low, high, middle, middle + 1};
    std::sort(std::begin(tried), std::end(tried));
    for (int* zero = tried; zero != std::unique(std::begin(tried), std::end(tried)); ++zero) {
      consider(scale, *zero);
    }
  }

  // The least-squares scale for the codes of the best so far, and for those of its neighbours.
  void refit() {
    const Candidate from = best_;
    const int reach = scheme_.symmetric ? 0 : 1;
    for (int zero = from.zero - reach; zero <= from.zero + reach; ++zero) {
      if (zero < 0 || zero > scheme_.most()) continue;
      const float inverse = 1 / scale_to_f32(scheme_.scale, from.scale);
      double product = 0;
      double square = 0;
      for (int i = 0; i < scheme_.group; ++i) {
        const double code = level(x_[i] * inverse, zero);
        product += importance_[i] * code * x_[i];
        square += importance_[i] * code * code;
      }
      if (product > 0) consider(static_cast<float>(product / square), zero);
    }
  }

  const float* x_;
  // How much a weight's squared error counts: (1 + |w| / sigma)^3. With all alike the least error
  // has ranges so narrow that large weights are cut off, and predictions become worse than with
  // plain rounding (docs/exports.md has the figures).
  float importance_[kMostGroup];
  const IntScheme& scheme_;
  float low_ = 0;  // 0 is always in the range
  float high_ = 0;
  Candidate best_;
};

// Codes, scale and zero point of one group; the error is infinite where no scale can be stored.
EncodeStats store_group(const GroupSearch& search, const Candidate& chosen, const IntScheme& scheme,
                        const float* x, const IntRow& out) {
  if (!std::isfinite(chosen.error)) return {std::numeric_limits<double>::infinity(), 0};
  search.store(chosen, out.codes);
  *out.scales = chosen.scale;
  *out.zeros = static_cast<uint8_t>(chosen.zero);
  float values[kMostGroup];
  decode_int_row(scheme, out.codes, out.scales, out.zeros, scheme.group, values);
  EncodeStats stats;
  for (int i = 0; i < scheme.group; ++i) {
    const double difference = double{x[i]} - double{values[i]};
    stats.squared_error += difference * difference;
    stats.squared_norm += double{x[i]} * double{x[i]};
  }
  return stats;
}

EncodeStats encode_group(const float* x, const IntScheme& scheme, Effort effort,
                         const IntRow& out) {
  GroupSearch search(x, scheme);
  if (search.is_zero()) {
    const int zero = scheme.symmetric ? scheme.middle() : 0;
    return store_group(search, {round_scale(scheme.scale, 1), zero, 0}, scheme, x, out);
  }
  const Candidate plain = search.plain();
  if (effort == Effort::kReference) return store_group(search, plain, scheme, x, out);
  const EncodeStats before = store_group(search, plain, scheme, x, out);
  const EncodeStats after = store_group(search, search.search(effort), scheme, x, out);
  // The search weighs errors, and among f16's smallest numbers it does not know all roundings.
  if (after.squared_error <= before.squared_error) return after;
  return store_group(search, plain, scheme, x, out);
}

}  // namespace

std::string IntScheme::name() const {
  return fmt::format("{}{}-g{}", symmetric ? "int" : "uint", bits, group);
}

EncodeStats encode_int_row(const float* x, int64_t in, const IntScheme& scheme, Effort effort,
                           const IntRow& out) {
  EncodeStats stats;
  for (int64_t at = 0, g = 0; at < in; at += scheme.group, ++g) {
    stats.add(
        encode_group(x + at, scheme, effort, {out.codes + at, out.scales + g, out.zeros + g}));
  }
  return stats;
}

void decode_int_row(const IntScheme& scheme, const uint8_t* codes, const uint16_t* scales,
                    const uint8_t* zeros, int64_t in, float* out) {
  for (int64_t at = 0, g = 0; at < in; at += scheme.group, ++g) {
    const float step = scale_to_f32(scheme.scale, scales[g]);
    for (int i = 0; i < scheme.group; ++i) {
      const float product = static_cast<float>(int{codes[at + i]} - int{zeros[g]}) * step;
      out[at + i] = scheme.scale == IntScale::kF16 ? f16_to_f32(f32_to_f16(product))
                                                   : bf16_to_f32(f32_to_bf16(product));
    }
  }
}

void pack_codes(const uint8_t* codes, int64_t n, int bits, uint8_t* out) {
  if (bits == 3) return pack<3>(codes, n, out);
  if (bits == 8) {
    std::copy_n(codes, n, out);
    return;
  }
  for (int64_t i = 0; i < n; i += 2) {
    out[i / 2] = static_cast<uint8_t>(codes[i] | codes[i + 1] << 4);
  }
}

void unpack_codes(const uint8_t* packed, int64_t n, int bits, uint8_t* codes) {
  for (int64_t i = 0; i < n; ++i) codes[i] = static_cast<uint8_t>(unpack_index(packed, bits, i));
}

uint32_t awq_word(const uint8_t* codes, int64_t stride) {
  uint32_t word = 0;
  for (int i = 0; i < 8; ++i) {
    word |= static_cast<uint32_t>(codes[kAwqOrder[i] * stride]) << (4 * i);
  }
  return word;
}

}  // namespace tq
