// The portable search, the choice among all, and what the encoder does around a search.
#include "format/trellis_encoder.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/check.h"
#include "format/hadamard.h"
#include "format/packing.h"
#include "format/scalar_encoder.h"
#include "format/trellis.h"

// clang-format off
#include "format/simd/trellis_generic_begin.inc"
#include "format/simd/trellis_coder.inc"
// clang-format on
}  // namespace tq::generic_trellis
#undef TQ_INLINE
#undef TQ_ISA

namespace tq {

// Costs of 4 bits are found for twice as many scales at a time.
TrellisSearch trellis_search(Effort effort, int bits) {
  switch (effort) {
    case Effort::kFast:
      return {0.98f, 0.98f, 1, 1, 0};
    case Effort::kBest:
      return {0.84f, 1.16f, kMaxTrellisScales, 4, 2};
    default:  // there is no reference library
      return {0.86f, 1.14f, bits == 3 ? 6 : 8, 1, 0};
  }
}

namespace {

// Encodes the groups of one row, one at a time.
class TrellisGroupEncoder {
 public:
  TrellisGroupEncoder(const TrellisCoder& coder, int bits, int group, const EncodeOptions& options)
      : coder_(coder),
        table_(trellis_table(bits, group)),
        search_(trellis_search(options.effort, bits)),
        options_(options) {
    for (int k = 0; k < search_.count; ++k) {
      scales_[k] = search_.scale(k);
      multipliers_[k] = multiplier(scales_[k]);
    }
  }

  EncodeStats encode(const float* x, uint8_t* codes, float* gain) {
    const int group = table_.group;
    const double squared_norm = dot<double>(x, x, group);
    const float norm = group_norm(squared_norm);
    const float divisor = norm > 0 ? norm : 1.0f;
    normalise(x, divisor, Effort::kDefault, group, y_);
    rotate_group(y_, group);

    int order[kMaxTrellisScales];
    order_scales(order);
    best_ = {};
    bool better = true;
    for (int k = 0; k < search_.paths; ++k) attempt(multipliers_[order[k]], codes);
    for (int k = 0; k < search_.refits && better && best_.yc > 0; ++k) {
      better = attempt(multiplier(best_.yc / best_.cc), codes);
    }
    *gain = least_squares_gain(norm, best_, options_.beta);
    const float a = gain_as_stored(*gain) / divisor;
    return {squared_norm * squared_residual(y_, c_, a, group), squared_norm};
  }

 private:
  float multiplier(float scale) const {
    return trellis_multiplier(table_.bits, table_.unit, scale);
  }

  // The scales by the errors that they leave.
  void order_scales(int* order) const {
    std::iota(order, order + search_.count, 0);
    if (search_.count == 1) return;
    int32_t costs[kMaxTrellisScales];
    coder_.costs(y_, table_.group, multipliers_, search_.count, costs);
    float errors[kMaxTrellisScales];
    for (int k = 0; k < search_.count; ++k) {
      errors[k] = static_cast<float>(costs[k]) * (scales_[k] * scales_[k]);
    }
    std::sort(order, order + search_.count, [&](int a, int b) {
      return errors[a] < errors[b] || (errors[a] == errors[b] && a < b);
    });
  }

  // Finds the path at a scale, and keeps its codes and values if it explains more of y than the
  // best so far, or is the first.
  bool attempt(float multiplier, uint8_t* codes) {
    const int group = table_.group;
    uint8_t indices[kMaxEncodedGroup];
    coder_.code(y_, group, multiplier, indices);
    uint8_t packed[packed_bytes(kMaxEncodedGroup, 4)];
    uint8_t windows[kMaxEncodedGroup];
    if (table_.bits == 3) {
      pack<3>(indices, group, packed);
      read_windows<3>(packed, group, windows);
    } else {
      pack<4>(indices, group, packed);
      read_windows<4>(packed, group, windows);
    }
    float values[kMaxEncodedGroup];
    for (int i = 0; i < group; ++i) values[i] = table_.values[windows[i]];
    const FitSums sums = fit_sums(y_, values, group);
    const bool first = best_.cc == 0;
    if (!first && sums.yc * sums.yc * best_.cc <= best_.yc * best_.yc * sums.cc) return false;
    best_ = sums;
    std::copy_n(values, group, c_);
    std::copy_n(packed, packed_bytes(group, table_.bits), codes);
    return true;
  }

  const TrellisCoder& coder_;
  const TrellisTable& table_;
  const TrellisSearch search_;
  const EncodeOptions& options_;
  float scales_[kMaxTrellisScales];
  float multipliers_[kMaxTrellisScales];
  alignas(64) float y_[kMaxEncodedGroup];  // rotated, norm 1
  alignas(64) float c_[kMaxEncodedGroup];  // the values of the best path
  FitSums best_;                           // and its sums
};

}  // namespace

EncodeStats encode_trellis_row(const TrellisCoder& coder, int bits, const float* x,
                               int64_t in_padded, int group, const EncodeOptions& options,
                               uint8_t* codes, float* gains) {
  TrellisGroupEncoder encoder(coder, bits, group, options);
  EncodeStats stats;
  for (int64_t i = 0; i < in_padded; i += group) {
    stats.add(encoder.encode(x + i, codes + packed_bytes(i, bits), gains + i / group));
  }
  return stats;
}

const TrellisCoders& generic_trellis_coders() {
  static constexpr TrellisCoders kCoders{Isa::kGeneric, generic_trellis::kCoders};
  return kCoders;
}

const TrellisCoders& trellis_coders(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) return avx512_trellis_coders();
  if (isa == Isa::kAvx2) return avx2_trellis_coders();
#endif
  TQ_CHECK(isa == Isa::kGeneric, "no trellis search for {}", isa_name(isa));
  return generic_trellis_coders();
}

}  // namespace tq
