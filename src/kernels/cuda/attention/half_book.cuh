// Codebooks as f16, for kernels that multiply them on tensor cores. Host functions; private to
// kernels/cuda.
#pragma once

#include <algorithm>
#include <cmath>

#include "base/float16.h"
#include "format/codebook.h"
#include "kernels/cuda/device/coded_pages.cuh"

namespace tq::cuda {

// The codebook as f16, and the unit of its numbers: the factor for which their rounding is least.
struct HalfBookAndUnit {
  HalfBook book = {};
  float unit = 1;
};
inline HalfBookAndUnit half_book(int bits, int group) {
  const Codebook& codes = codebook(bits, group);
  if (bits == 8) return {{}, codes.int8_unit};  // index - 128 times that
  constexpr int kTries = 4096;
  HalfBookAndUnit best;
  double least = 1;
  for (int i = 0; i < kTries; ++i) {
    const double unit = std::exp2(-static_cast<double>(i) / kTries);
    double error = 0;
    HalfBook book = {};
    for (size_t k = 0; k < codes.centroids.size(); ++k) {
      const double number = codes.centroids[k] / unit;
      book.centroids[k] = f32_to_f16(static_cast<float>(number));
      error = std::max(error, std::abs(f16_to_f32(book.centroids[k]) / number - 1));
    }
    if (error >= least) continue;
    least = error;
    best = {book, static_cast<float>(unit)};
  }
  return best;
}

}  // namespace tq::cuda
