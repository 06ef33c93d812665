// Codebooks and signs as kernel parameters, passed by value: kernels need no tables in device
// memory. Host functions; private to kernels/cuda.
#pragma once

#include <cmath>
#include <cstdint>

#include "format/codebook.h"
#include "format/hadamard.h"
#include "format/traits.h"
#include "kernels/cuda/device/codes.cuh"
#include "kernels/cuda/device/rotate.cuh"
#include "kernels/cuda/weight_formats.h"

namespace tq::cuda {

// A rotated format's codebook for kernels that look up one index at a time.
struct CodebookTable {
  float centroids[32];  // up to 5 bits
  int8_t values[32];
  float first;  // 6 and 8 bits: centroid k is first + k * step, value k first_value + k * spacing
  float step;
  int first_value;
  int spacing;
  float unit;  // centroid ~= value * unit
  bool uniform;
};

inline CodebookTable codebook_table(int bits, int group) {
  const Codebook& book = codebook(bits, group);
  CodebookTable table = {};
  table.unit = book.int8_unit;
  table.uniform = book.step > 0;
  if (table.uniform) {
    table.first = book.centroids[0];
    table.step = book.step;
    table.first_value = book.int8_centroids[0];
    table.spacing = book.int8_centroids[1] - book.int8_centroids[0];
  } else {
    for (size_t k = 0; k < book.centroids.size(); ++k) {
      table.centroids[k] = book.centroids[k];
      table.values[k] = book.int8_centroids[k];
    }
  }
  return table;
}

inline RotationMasks rotation_masks(int group) {
  const RotationSigns& signs = rotation_signs(group);
  RotationMasks masks = {};
  masks.scale = static_cast<float>(1 / std::sqrt(double(group)));
  for (int i = 0; i < group; ++i) {
    if (signs.d1[i] > 0) masks.d1[i / 32] |= 1u << (i % 32);
    if (signs.d2[i] > 0) masks.d2[i / 32] |= 1u << (i % 32);
  }
  return masks;
}

}  // namespace tq::cuda
