// Which storage formats of weights the CUDA kernels read. Host only; no GPU is needed.
#pragma once

#include "format/formats.h"
#include "kernels/cuda/code_widths.h"

namespace tq::cuda {

// Formats whose rows are numbers of these types.
using PlainFormats = FormatList<F32, F16, Bf16>;

// Those, and the codes of tq formats, which are re-laid into tiles (tile_layout.h).
template <WeightFormat F>
constexpr bool kHasKernels = index_in<F>(PlainFormats{}) >= 0 ||
                             (kIsScalarCodec<F> && is_one_of(F::kBits, CodeWidths{}));

template <typename... Formats>
constexpr bool has_kernels(FormatId id, FormatList<Formats...>) {
  return ((id == format_id<Formats>() && kHasKernels<Formats>) || ...);
}
constexpr bool has_kernels(FormatId id) { return has_kernels(id, AllFormats{}); }

// Of formats that have kernels: whether a weight is codes, and so in tiles.
inline bool is_rotated(const WeightView& weight) {
  return weight.traits().input == InputForm::kRotated;
}

}  // namespace tq::cuda
