// The tables of the encoder of scalar codes (device/encode.cuh), made on the host and passed by
// value. Private to kernels/cuda.
#pragma once

#include "format/codebook.h"
#include "kernels/cuda/codebooks.cuh"
#include "kernels/cuda/device/encode.cuh"

namespace tq::cuda {

template <int kBits>
EncoderTables<kBits> make_tables(int group, const EncodeOptions& options) {
  const Codebook& book = codebook(kBits, group);
  EncoderTables<kBits> tables{
      {}, rotation_masks(group), scale_search<kBits>(options.effort), options.effort, options.beta};
  if constexpr (kIsUniform<kBits>) {
    tables.book = {book.step, 1 / book.step, book.int8_unit};
  } else {
    constexpr size_t kHalf = LloydTable<kBits>::kHalf;
    const IntegerCodebook<kBits> integers(book);
    for (size_t k = 0; k < kHalf; ++k) {
      tables.book.centroids[k] = book.centroids[kHalf + k];
      tables.book.integers[k] = integers.centroids[k];
      if (k + 1 == kHalf) break;
      tables.book.boundaries[k] = book.boundaries[kHalf + k];
      tables.book.integer_boundaries[k] = integers.boundaries[k];
    }
  }
  return tables;
}

}  // namespace tq::cuda
