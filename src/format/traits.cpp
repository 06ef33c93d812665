#include "format/traits.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/math.h"
#include "format/formats.h"
#include "format/hadamard.h"

namespace tq {
namespace {

int no_group(int64_t /*in*/) { return 0; }

// What a format's struct does not say has the value that formats of rows on their own have.
template <WeightFormat F>
constexpr FormatTraits traits_of() {
  FormatTraits traits{.id = format_id<F>(),
                      .name = F::kName,
                      .input = F::kInput,
                      .output = InputForm::kPlain,
                      .bits = F::kBits,
                      .has_scales = F::kHasScales,
                      .rows_together = 1,
                      .group_for = F::kHasScales ? default_group : no_group,
                      .code_row_bytes = F::code_row_bytes,
                      .decode_row = F::decode_row,
                      .encode_rows = nullptr};
  if constexpr (requires { F::kOutput; }) traits.output = F::kOutput;
  if constexpr (requires { F::group_for(int64_t{}); }) traits.group_for = F::group_for;
  if constexpr (RowsTogether<F>) {
    traits.rows_together = F::kRowsTogether;
    traits.encode_rows = F::encode_rows;
  } else {
    traits.encode_rows = F::encode_row;
  }
  return traits;
}

template <WeightFormat... Formats>
constexpr auto expand(FormatList<Formats...>) {
  return std::array<FormatTraits, sizeof...(Formats)>{traits_of<Formats>()...};
}

constexpr auto kFormats = expand(AllFormats{});

}  // namespace

std::span<const FormatTraits> all_formats() { return kFormats; }

const FormatTraits& format_traits(FormatId id) {
  const auto index = static_cast<size_t>(id);
  TQ_CHECK(index < kFormats.size(), "no format has id {}", index);
  return kFormats[index];
}

const FormatTraits* find_format(std::string_view name) {
  const auto found = std::find_if(kFormats.begin(), kFormats.end(),
                                  [&](const FormatTraits& format) { return format.name == name; });
  return found == kFormats.end() ? nullptr : &*found;
}

int format_count() { return static_cast<int>(kFormats.size()); }

int default_group(int64_t in) {
  for (const int group : {128, 64, 32}) {
    if (in % group == 0) return group;
  }
  return 128;
}

WeightView weight_shape(const FormatTraits& format, int64_t rows, int64_t in, int64_t experts) {
  WeightView view;
  view.format = format.id;
  view.rows = rows;
  view.in = in;
  view.experts = experts;
  view.group = format.group_for(in);
  view.in_padded = view.group > 0 ? round_up(in, view.group) : in;
  return view;
}

void decode_row_plain(const WeightView& weight, int64_t row, float* out, float* scratch) {
  const FormatTraits& traits = weight.traits();
  const bool padded = weight.in != weight.in_padded;
  float* decoded = padded ? scratch : out;
  traits.decode_row(weight.code_row(row), weight.gain_row(row), weight.in_padded, weight.group,
                    decoded);
  if (traits.input == InputForm::kRotated) {
    for (int64_t i = 0; i < weight.in_padded; i += weight.group) {
      unrotate_group(decoded + i, weight.group);
    }
  }
  if (padded) std::copy_n(scratch, weight.in, out);
}

}  // namespace tq
