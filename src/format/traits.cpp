#include "format/traits.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "format/formats.h"
#include "format/hadamard.h"

namespace tq {
namespace {

template <WeightFormat F>
constexpr FormatTraits traits_of() {
  return {format_id<F>(), F::kName,          F::kInput,     F::kBits,
          F::kHasScales,  F::code_row_bytes, F::decode_row, F::encode_row};
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
