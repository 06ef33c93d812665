// Codebooks and signs as kernel parameters, passed by value: kernels need no tables in device
// memory. Host functions; private to kernels/cuda.
#pragma once

#include <cmath>
#include <cstdint>

#include "format/codebook.h"
#include "format/hadamard.h"
#include "format/traits.h"
#include "format/trellis.h"
#include "format/trellis_tables.h"
#include "kernels/cuda/device/codes.cuh"
#include "kernels/cuda/device/rotate.cuh"
#include "kernels/cuda/weight_formats.h"

namespace tq::cuda {

// A rotated format's codebook for kernels that look up one index at a time.
struct CodebookTable {
  float centroids[32];  // up to 5 bits
  int8_t values[32];    // of windows: what the newest code contributes
  int8_t previous[16];  // of windows: the code before, and the one before that
  int8_t earlier[16];
  float first;  // 6 and 8 bits: centroid k is first + k * step, value k first_value + k * spacing
  float step;
  int first_value;
  int spacing;
  float unit;  // centroid ~= value * unit
  bool uniform;
};

inline CodebookTable window_table(int bits, int group) {
  const TrellisTable& trellis = trellis_table(bits, group);
  CodebookTable table = {};
  table.unit = trellis.unit;
  for (int k = 0; k < 1 << bits; ++k) {
    table.values[k] = bits == 3 ? TrellisParts3::kNewest[k] : TrellisParts4::kNewest[k];
    table.previous[k] = bits == 3 ? TrellisParts3::kPrevious[k] : TrellisParts4::kPrevious[k / 2];
    table.earlier[k] = bits == 3 ? TrellisParts3::kEarlier[k / 4] : int8_t{0};
  }
  return table;
}

inline CodebookTable codebook_table(int kind, int group) {
  if (is_window(kind)) return window_table(bits_of(kind), group);
  const int bits = kind;
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

// Single weights of a re-laid matrix, before their gain.
struct TileValues {
  TileMatrix matrix;
  const CodebookTable& book;
  const float* centroids;  // the book's, in shared memory

  __device__ int integer(int64_t row, int64_t in) const {
    const int index = matrix.index(row, in);
    if (!is_window(matrix.kind)) {
      return book.uniform ? book.first_value + index * book.spacing : book.values[index];
    }
    const int64_t last = matrix.group - 1;  // a group is a ring
    const auto before = [&](int by) {
      return matrix.index(row, (in & ~last) | ((in - by) & last));
    };
    return book.values[index] + book.previous[before(1)] + book.earlier[before(2)];
  }
  __device__ float centroid(int64_t row, int64_t in) const {
    if (book.uniform || is_window(matrix.kind)) return integer(row, in) * book.unit;
    return centroids[matrix.index(row, in)];
  }
};

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
