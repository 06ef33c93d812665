// The widths of codes that CUDA kernels are compiled for, and the dispatch by them. How the codes
// of a width lie and are read is in device/codes.cuh.
#pragma once

#include <type_traits>
#include <utility>

#include "kernels/cuda/cuda_error.h"

namespace tq::cuda {

// In bits. cmake/TqCuda.cmake reads this line, and compiles the kernels of each width as a source
// of its own: they take long.
using CodeWidths = std::integer_sequence<int, 2, 3, 4, 5, 6, 8>;

template <typename Use, int... kWidths>
bool use_width(int bits, const Use& use, std::integer_sequence<int, kWidths...>) {
  const auto use_if = [&](auto width, bool chosen) {
    if (chosen) use(width);
    return chosen;
  };
  return (use_if(std::integral_constant<int, kWidths>{}, bits == kWidths) || ...);
}
// Calls use(std::integral_constant<int, bits>{}).
template <typename Use>
void with_bits(int bits, const Use& use) {
  if (!use_width(bits, use, CodeWidths{})) fail_call("codes of a width without CUDA kernels");
}

}  // namespace tq::cuda
