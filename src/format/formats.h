// THE LIST: every weight storage format, one struct each in its own file. The traits table
// (traits.h), the generic kernels and the typed tests expand this list, so a new format is a new
// file and one name here; see docs/add-a-format.md.
//
// Code that only runs formats includes traits.h; this header is for code that is generated from
// them.
#pragma once

#include <concepts>
#include <cstdint>
#include <string_view>

#include "format/bf16.h"
#include "format/f16.h"
#include "format/f32.h"
#include "format/format_list.h"
#include "format/tq2.h"
#include "format/tq3.h"
#include "format/tq4.h"
#include "format/tq5.h"
#include "format/tq6.h"
#include "format/tq8.h"
#include "format/traits.h"
#include "format/w7_3.h"
#include "format/w7_4.h"

namespace tq {

// In ascending order of FormatId. Files carry names, so the order may change.
using AllFormats = FormatList<F32, F16, Bf16, Tq2, Tq3, W7_3, Tq4, W7_4, Tq5, Tq6, Tq8>;

// Formats that encode each row on its own, and such as take several.
template <typename F>
concept SingleRows = requires(const float* x, const EncodeOptions& options, uint8_t* codes,
                              float* gains) {
  { F::encode_row(x, int64_t{}, int{}, options, codes, gains) } -> std::same_as<EncodeStats>;
};
template <typename F>
concept RowsTogether = requires(const float* x, const EncodeOptions& options, uint8_t* codes,
                                float* gains) {
  { F::kRowsTogether } -> std::convertible_to<int>;
  { F::encode_rows(x, int64_t{}, int{}, options, codes, gains) } -> std::same_as<EncodeStats>;
};

// What a format struct provides; the members mean what they mean in FormatTraits. No state. It may
// also say group_for(in) and kOutput.
template <typename F>
concept WeightFormat = (SingleRows<F> || RowsTogether<F>)&&requires(const uint8_t* codes,
                                                                    const uint16_t* gains,
                                                                    float* out) {
  { F::kName } -> std::convertible_to<std::string_view>;
  { F::kInput } -> std::convertible_to<InputForm>;
  { F::kBits } -> std::convertible_to<int>;
  { F::kHasScales } -> std::convertible_to<bool>;
  { F::code_row_bytes(int64_t{}) } -> std::same_as<int64_t>;
  { F::decode_row(codes, gains, int64_t{}, int{}, out) } -> std::same_as<void>;
};

// The id of a format struct: format_id<Tq3>().
template <WeightFormat F>
constexpr FormatId format_id() {
  static_assert(index_in<F>(AllFormats{}) >= 0, "the format is not in AllFormats");
  return static_cast<FormatId>(index_in<F>(AllFormats{}));
}

}  // namespace tq
