#include "format/codebook.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/check.h"

namespace tq {
namespace {

// Positive halves of the codebooks for N(0, 1), ascending. tests/unit/format/codebook_test.cpp
// derives every number again.
constexpr double kHalf2[] = {0.453, 1.51};
// Lloyd's iteration from equally probable cells, stopped after exactly 100 steps. That has not
// converged for 4 bits, so converged (textbook) values would not decode reference checkpoints.
constexpr double kHalf3[] = {0.24509395640535836, 0.7560046735148501, 1.3439084494034657,
                             2.1519448861253605};
constexpr double kHalf4[] = {0.12596289635857577, 0.3809324297877439, 0.645486238075621,
                             0.9277413166774165,  1.239378650151286,  1.6001883200982854,
                             2.0515376438887096,  2.7171369153166394};
// Lloyd's iteration, converged.
constexpr double kHalf5[] = {
    0.06588965977082209, 0.19805182966943205, 0.3313783057601129, 0.46669952297668393,
    0.6049336240094342,  0.7471357036878187,  0.8945651173883733, 1.0487833199232017,
    1.2118043806092658,  1.386340339586626,   1.5762280786121883, 1.7872332177032668,
    2.0287283993954945,  2.3177394041947283,  2.6911195773766616, 3.260732493401393};

// A codebook that is not uniform.
struct Lloyd {
  std::span<const double> half;
  // What an int8 of 1 means, for N(0, 1). Of all units that keep the largest centroid within 127
  // those whose multiples come nearest to the centroids, in mean square over N(0, 1): which leaves
  // a fortieth (3 bits) to three quarters (5 bits) of the error that 127 for the largest has.
  double int8_unit;
};

Lloyd lloyd(int bits) {
  switch (bits) {
    case 2:
      return {kHalf2, 0.021571429};
    case 3:
      return {kHalf3, 0.024434770};
    case 4:
      return {kHalf4, 0.023852298};
    case 5:
      return {kHalf5, 0.027656174};
    default:
      return {};
  }
}

// Distances of neighbours with the least squared error for 64 levels around 0 (32 on each side) and
// for 256 levels of which one is 0.
constexpr double kStep6 = 0.104063;
constexpr double kStep8 = 0.0307656;

constexpr int kMaxLevels = 1 << kMaxCodeBits;

// One codebook with the memory its spans point to.
struct Entry {
  alignas(64) std::array<float, kMaxLevels> centroids{};
  alignas(64) std::array<float, kMaxLevels> boundaries{};
  alignas(64) std::array<int8_t, kMaxLevels> int8_centroids{};
  Codebook book{};
};

// Fills centroids and int8 values from a symmetric table for N(0, 1).
void fill_lloyd(const Lloyd& table, Entry& entry) {
  const auto& [half, unit] = table;
  const int n = static_cast<int>(half.size());
  const double sigma = 1 / std::sqrt(double(entry.book.group));
  entry.book.int8_unit = static_cast<float>(unit * sigma);
  for (int k = 0; k < n; ++k) {
    const auto centroid = static_cast<float>(half[k] * sigma);
    const auto rounded = static_cast<int8_t>(std::lround(half[k] / unit));
    entry.centroids[n + k] = centroid;
    entry.centroids[n - 1 - k] = -centroid;
    entry.int8_centroids[n + k] = rounded;
    entry.int8_centroids[n - 1 - k] = static_cast<int8_t>(-rounded);
  }
}

// Fills centroids and int8 values of a uniform codebook: 6 bits odd integers, 8 bits all integers.
void fill_uniform(int bits, Entry& entry) {
  const int spacing = bits == 6 ? 2 : 1;
  const int first = bits == 6 ? -63 : -128;
  const double sigma = 1 / std::sqrt(double(entry.book.group));
  entry.book.int8_unit = static_cast<float>((bits == 6 ? kStep6 : kStep8) * sigma / spacing);
  entry.book.step = spacing * entry.book.int8_unit;
  for (int k = 0; k < (1 << bits); ++k) {
    entry.int8_centroids[k] = static_cast<int8_t>(first + spacing * k);
    entry.centroids[k] = entry.int8_centroids[k] * entry.book.int8_unit;
  }
}

void build(int bits, int group, Entry& entry) {
  const size_t levels = size_t{1} << bits;
  entry.book.bits = bits;
  entry.book.group = group;
  if (const Lloyd table = lloyd(bits); !table.half.empty()) {
    fill_lloyd(table, entry);
  } else {
    fill_uniform(bits, entry);
  }
  for (size_t k = 0; k + 1 < levels; ++k) {
    entry.boundaries[k] = (entry.centroids[k] + entry.centroids[k + 1]) * 0.5f;
  }
  entry.book.centroids = {entry.centroids.data(), levels};
  entry.book.boundaries = {entry.boundaries.data(), levels - 1};
  entry.book.int8_centroids = {entry.int8_centroids.data(), levels};
}

struct Library {
  std::array<std::array<Entry, kCodeGroups.size()>, kMaxCodeBits + 1> entries;  // [bits][group]
  Library() {
    for (int bits = 1; bits <= kMaxCodeBits; ++bits) {
      if (!is_one_of(bits, CodebookWidths{})) continue;
      for (size_t g = 0; g < kCodeGroups.size(); ++g) build(bits, kCodeGroups[g], entries[bits][g]);
    }
  }
};

}  // namespace

const Codebook& codebook(int bits, int group) {
  static const Library library;
  const auto* position = std::find(kCodeGroups.begin(), kCodeGroups.end(), group);
  TQ_CHECK(is_one_of(bits, CodebookWidths{}), "no codebook of {} bits", bits);
  TQ_CHECK(position != kCodeGroups.end(), "no codebook for groups of {}", group);
  return library.entries[bits][position - kCodeGroups.begin()].book;
}

}  // namespace tq
