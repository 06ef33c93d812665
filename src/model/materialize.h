// Materializer: brings tensors that kernels cannot read in place, or that are to be compressed at
// load, into a storage format in host memory, rows in parallel. Used while a model loads, by one
// thread.
#pragma once

#include <memory>
#include <vector>

#include "backend/weight_encoder.h"
#include "base/thread_pool.h"
#include "io/checkpoint.h"
#include "tensor/buffer.h"

namespace tq {

// x * factor + offset.
struct AffineMap {
  float factor = 1;
  float offset = 0;
};

// Whether weights are read, or only their shapes and sizes found out: then no view may be read.
enum class WeightValues : uint8_t { kRead, kNone };

class Materializer {
 public:
  // threads: 0 means every CPU the process may use; none are started before the first use.
  Materializer(const Checkpoint& checkpoint, const EncodeOptions& encode, int threads,
               WeightValues values = WeightValues::kRead);

  // The tensor [rows, in] or [experts, rows, in] in `format`; the view points into `storage`.
  // Throws kCorrupt naming the tensor when it holds NaN or infinity, and what RowEncoder throws.
  WeightView weight(const TensorEntry& tensor, const FormatTraits& format, Buffer& storage);

  // What weight() would return, without values: nothing is read, and its planes are null.
  static WeightView shape(const TensorEntry& tensor, const FormatTraits& format);

  // Rows [first, first + matrix.rows) of the tensor, compressed and placed by the encoder; `matrix`
  // has the sizes, its planes are not read. After the last one finish() must be called.
  WeightView encode(const TensorEntry& tensor, int64_t first, const WeightView& matrix,
                    WeightEncoder& encoder);
  // Waits for what is being encoded. Throws what weight() throws.
  void finish(WeightEncoder& encoder);

  // The first `rows` rows of each head of a weight [heads * head_rows, in], transposed: a stack
  // [heads, in, rows] in `format`.
  WeightView transposed_heads(const WeightView& weight, int64_t head_rows, int64_t rows,
                              const FormatTraits& format, Buffer& storage);

  // A vector as fp32, mapped element by element. Throws kCorrupt for NaN or infinity.
  void vector(const TensorEntry& tensor, AffineMap map, float* out) const;

 private:
  ThreadPool& pool();
  EncodeSource source(const TensorEntry& tensor, int64_t first);

  const Checkpoint& checkpoint_;
  EncodeOptions encode_;
  int threads_;
  WeightValues values_;
  std::unique_ptr<ThreadPool> pool_;
  struct Encoded {
    const TensorEntry* tensor;
    const FormatTraits* format;
  };
  std::vector<Encoded> encoded_;  // by encode(), since the last finish()
};

}  // namespace tq
