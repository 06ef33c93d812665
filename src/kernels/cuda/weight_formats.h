// Which storage formats of weights the CUDA kernels read. Host only; no GPU is needed.
#pragma once

#include "format/formats.h"
#include "kernels/cuda/code_kinds.h"
#include "kernels/cuda/tile_layout.h"

namespace tq::cuda {

// Formats whose rows are numbers of these types.
using PlainFormats = FormatList<F32, F16, Bf16>;

// The kind of a format's codes (code_kinds.h), which are re-laid into tiles; 0 of other formats.
template <WeightFormat F>
constexpr int code_kind() {
  if constexpr (kIsScalarCodec<F>) return F::kBits;
  if constexpr (kIsTrellisCodec<F>) return kWindowKinds + F::kBits;
  return 0;
}

template <WeightFormat F>
constexpr bool kHasKernels = index_in<F>(PlainFormats{}) >= 0 ||
                             is_one_of(code_kind<F>(), CodeKinds{});

template <typename... Formats>
constexpr bool has_kernels(FormatId id, FormatList<Formats...>) {
  return ((id == format_id<Formats>() && kHasKernels<Formats>) || ...);
}
constexpr bool has_kernels(FormatId id) { return has_kernels(id, AllFormats{}); }

template <typename... Formats>
constexpr int code_kind(FormatId id, FormatList<Formats...>) {
  return ((id == format_id<Formats>() ? code_kind<Formats>() : 0) + ...);
}
constexpr int code_kind(FormatId id) { return code_kind(id, AllFormats{}); }

// Of formats that have kernels: whether a weight is codes, and so in tiles.
inline bool is_rotated(const WeightView& weight) {
  return weight.traits().input == InputForm::kRotated;
}

// Whether the GPU encodes the format (encode/encode.h); the host does others.
constexpr bool has_encoder(FormatId id) { return code_kind(id) != 0; }

}  // namespace tq::cuda
