// The encoder of the formats w7_3 and w7_4: what it does for all instruction sets, and the search
// for paths through the trellis that is written for each. Private to format/, tests and benchmarks.
// Pure functions; thread safe.
//
// Every version writes the same bytes: the search computes with 16-bit integers, whose sums
// saturate, and the rest is the same code for all.
#pragma once

#include <array>
#include <cstdint>

#include "base/cpu_features.h"
#include "base/host_device.h"
#include "format/traits.h"

namespace tq {

// The search has targets and the integers of the table in fixed point, in units of 1 / this, so
// that a product with twice an integer of `older` and a square fit 16 bits after a shift by 15:
// costs are squares in units of the table, times this squared / 2^15.
constexpr int trellis_unit(int bits) { return bits == 3 ? 250 : 400; }
// Of targets before `newest` is subtracted: there 400 would not reach three deviations.
constexpr int trellis_target_unit(int bits) { return bits == 3 ? 250 : 200; }
// Steps that the search goes on for after a group and before it, through the group's other end, to
// find the states on its border.
constexpr int kTrellisLead = 16;
// Steps between which the least cost is taken off: it stays far below 2^15 meanwhile. And the cost
// of a state where a path may not begin.
constexpr int kTrellisStepsBetween = 8;
constexpr int16_t kTrellisFar = 16000;

// Scales of the integer table's unit that are tried, evenly spaced. The paths of the `paths` with
// the least cost are found, and the best of these is improved by up to `refits` paths at its own
// least-squares scale.
struct TrellisSearch {
  float first;
  float last;
  int count;
  int paths;
  int refits;

  TQ_HOST_DEVICE float scale(int k) const {
    if (count == 1) return first;
    return first + (last - first) * (static_cast<float>(k) / static_cast<float>(count - 1));
  }
};
constexpr int kMaxTrellisScales = 16;
TrellisSearch trellis_search(Effort effort, int bits);

// What makes a rotated coordinate a target at a scale; unit: of the table.
TQ_HOST_DEVICE inline float trellis_multiplier(int bits, float unit, float scale) {
  return static_cast<float>(trellis_target_unit(bits)) / (unit * scale);
}

// The search for one width, on one instruction set. y: a rotated group; multiplier: that makes a
// coordinate a target, before it is cut to an integer.
struct TrellisCoder {
  // costs[k]: of the best path from any state to any other with multipliers[k], for k < n.
  void (*costs)(const float* y, int group, const float* multipliers, int n, int32_t* costs);
  // codes[i]: the indices of a good path that ends in the state that it began in.
  void (*code)(const float* y, int group, float multiplier, uint8_t* codes);
};

// By the bits of a code; null for widths that have no trellis.
struct TrellisCoders {
  Isa isa;
  std::array<TrellisCoder, 5> by_bits;
};

const TrellisCoders& generic_trellis_coders();
const TrellisCoders& avx2_trellis_coders();    // on x86-64 only
const TrellisCoders& avx512_trellis_coders();  // on x86-64 only
const TrellisCoders& trellis_coders(Isa isa);  // one of available_isas()

// Encodes a row, FormatTraits::encode_rows of one format, with this search.
EncodeStats encode_trellis_row(const TrellisCoder& coder, int bits, const float* x,
                               int64_t in_padded, int group, const EncodeOptions& options,
                               uint8_t* codes, float* gains);

}  // namespace tq
