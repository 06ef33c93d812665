// NumPy's .npy files: little-endian fp32 and integer arrays in C order, all that results and
// goldens need. Format: numpy.lib.format, versions 1 to 3 (read), 1 (written).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/file.h"

namespace tq {

template <typename T>
struct NpyArray {
  std::vector<int64_t> shape;
  std::vector<T> values;  // row-major
};

// Throws kNotFound, kIo, kCorrupt for a file that breaks the format's rules, kUnsupported for
// another dtype (f32 reads '<f4', int reads '<i4' and '<i8') or Fortran order.
NpyArray<float> read_npy_f32(const fs::path& path);
NpyArray<int64_t> read_npy_int(const fs::path& path);

// Writes an fp32 array whose size is known beforehand, piece by piece. The file appears under its
// name only at finish(); an unfinished one leaves nothing behind. One thread uses it.
class NpyWriter {
 public:
  // Throws kIo or kNoSpace.
  NpyWriter(const fs::path& path, std::span<const int64_t> shape);
  NpyWriter(const NpyWriter&) = delete;
  NpyWriter& operator=(const NpyWriter&) = delete;

  void append(std::span<const float> values);
  // Makes the file durable under its name. TQ_CHECKs that the shape was filled exactly.
  void finish();

 private:
  ReplacementFile file_;
  uint64_t offset_ = 0;
  uint64_t size_bytes_ = 0;
};

}  // namespace tq
