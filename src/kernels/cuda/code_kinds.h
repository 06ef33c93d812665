// The kinds of codes that CUDA kernels are compiled for, and the dispatch by them. A kind is a
// number that says how codes are read (tile_layout.h); what depends on it is in device/codes.cuh
// and device/windows.cuh.
#pragma once

#include <type_traits>
#include <utility>

#include "kernels/cuda/cuda_error.h"

namespace tq::cuda {

// cmake/TqCuda.cmake reads this line, and compiles the kernels of each kind as a source of its own:
// they take long.
using CodeKinds = std::integer_sequence<int, 2, 3, 4, 5, 6, 8, 13, 14>;

// Of those, the codes of one weight each, that tq2 .. tq8 have: their kind is their width in bits.
using CodeWidths = std::integer_sequence<int, 2, 3, 4, 5, 6, 8>;

template <typename Use, int... kKinds>
bool use_kind(int kind, const Use& use, std::integer_sequence<int, kKinds...>) {
  const auto use_if = [&](auto constant, bool chosen) {
    if (chosen) use(constant);
    return chosen;
  };
  return (use_if(std::integral_constant<int, kKinds>{}, kind == kKinds) || ...);
}
// Calls use(std::integral_constant<int, kind>{}).
template <typename Kinds = CodeKinds, typename Use>
void with_kind(int kind, const Use& use) {
  if (!use_kind(kind, use, Kinds{})) fail_call("codes of a kind without CUDA kernels");
}

}  // namespace tq::cuda
