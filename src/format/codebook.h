// The codebooks of the scalar TurboQuant formats: the centroids that an index stands for, as fp32
// and as the int8 values that integer kernels multiply. Everything here is immutable, lives as long
// as the program and is safe to use from any thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <utility>

namespace tq {

// A codebook for one coordinate of a rotated unit vector of `group` coordinates, which is close to
// N(0, 1/group). All tables are ascending and 64-byte aligned.
struct Codebook {
  int bits;
  int group;
  // What index k reconstructs to before the gain: w = gain * centroids[k].
  std::span<const float> centroids;  // [2^bits]
  // Fp32 midpoints of neighbouring centroids. The reference rule: index of y = number of boundaries
  // below y, so that a tie takes the lower index.
  std::span<const float> boundaries;  // [2^bits - 1]
  // centroids[k] ~= int8_centroids[k] * int8_unit. Exact for 6 bits (odd integers 2k - 63) and
  // 8 bits (k - 128: the only table that reaches -128). For the others the rounding adds to the
  // format's squared error 0 at 2 bits, 0.004 % at 3, 0.12 % at 4 and 1.4 % at 5.
  std::span<const int8_t> int8_centroids;  // [2^bits]
  float int8_unit;
  // For uniform codebooks (6 and 8 bits) the distance of neighbouring centroids, else 0.
  float step;
};

// The widths of codes, in bits, that there are codebooks (codebook.cpp) and so encoders for.
using CodebookWidths = std::integer_sequence<int, 2, 3, 4, 5, 6, 8>;
constexpr int kMaxCodeBits = 8;
// The groups that there are codes for.
constexpr std::array<int, 4> kCodeGroups = {32, 64, 128, 256};

template <int... kWidths>
constexpr bool is_one_of(int bits, std::integer_sequence<int, kWidths...>) {
  return ((bits == kWidths) || ...);
}

// The codebook of one of these widths for a group of 32, 64, 128 or 256. The formats tq2 .. tq8 use
// codebook(FormatTraits::bits, WeightView::group). TQ_CHECKs both arguments.
const Codebook& codebook(int bits, int group);

}  // namespace tq
