// TensorWriter: streams one planned tensor from a source to its planes in an output file, in row
// blocks of bounded size on all threads. The bytes, hashes and statistics it produces do not depend
// on the number of threads. Owned by one conversion; one tensor at a time.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/thread_pool.h"
#include "convert/hessian.h"
#include "convert/plan.h"
#include "format/traits.h"
#include "io/checkpoint.h"

namespace tq {

constexpr size_t kMaxPlanes = 4;

struct QuantizeOptions {
  EncodeOptions encode;
  bool allow_nan = false;  // store non-finite weights as 0 and count them, rather than refuse
  HessianSource* hessians = nullptr;             // null: weights are rounded without feedback
  std::function<void(int64_t n_elements)> tick;  // after each block; may throw to stop
};

// What was written of one tensor. Plain copies have no statistics: they lose nothing.
struct TensorResult {
  EncodeStats stats;
  int64_t non_finite = 0;                      // weights stored as 0
  std::array<std::string, kMaxPlanes> hashes;  // content_hash.h, parallel to the planes
};

// Where the planes of a tensor lie: absolute offsets, parallel to PlannedTensor::planes.
struct TensorPlace {
  OutputFile* file = nullptr;
  std::array<uint64_t, kMaxPlanes> offsets{};
};

// Hash of bytes of a file, read in pieces; nothing when it ends before them. `tick` may throw.
std::optional<std::string> range_hash(const OutputFile& file, uint64_t offset, uint64_t bytes,
                                      const std::function<void()>& tick = {});

// What the parts of a run cost that no run can do without.
struct Workload {
  int n_threads = 1;
  int64_t n_weights = 0;          // that were encoded
  double encode_cpu_seconds = 0;  // processor time of all threads together
  int64_t written_bytes = 0;
  double write_seconds = 0;  // that threads waited for the file system, as if all waited at once

  // Of a thread, to that of its earlier tensors.
  void add(const Workload& other) {
    n_weights += other.n_weights;
    encode_cpu_seconds += other.encode_cpu_seconds;
    written_bytes += other.written_bytes;
    write_seconds += other.write_seconds;
  }
  // What a run would take if its threads did nothing but encode.
  double encode_seconds() const { return encode_cpu_seconds / n_threads; }
};

class TensorWriter {
 public:
  // All references outlive the writer.
  TensorWriter(const Checkpoint& source, ThreadPool& pool, const QuantizeOptions& options);

  // Naming the tensor: throws kCorrupt for weights that are not finite (unless allowed),
  // kUnsupported for such as do not fit the format; kIo and kNoSpace from writing.
  TensorResult write(const PlannedTensor& tensor, const TensorPlace& place);

  // Of all tensors written so far.
  Workload workload() const;

 private:
  struct Block;
  struct ThreadState {
    std::vector<float> floats;  // rows
    Workload work;
  };
  TensorResult copy(const PlannedTensor& tensor, const TensorEntry& entry,
                    const TensorPlace& place);
  TensorResult encode(const PlannedTensor& tensor, const TensorEntry& entry,
                      const TensorPlace& place);
  TensorResult integers(const PlannedTensor& tensor, const TensorEntry& entry,
                        const TensorPlace& place);
  std::vector<HessianPart> parts_of(const PlannedTensor& tensor, const TensorEntry& entry) const;
  void encode_block(Block& block, TensorResult& result);
  void encode_chunk(Block& block, int64_t chunk, int thread);
  void write_chunk(const Block& block, int64_t first_row, int64_t n_rows, Workload& work) const;

  const Checkpoint& source_;
  ThreadPool& pool_;
  const QuantizeOptions& options_;
  std::vector<ThreadState> threads_;
};

}  // namespace tq
