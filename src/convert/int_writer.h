// IntWriter: one tensor of integers (PlannedTensor::ints) from a source's rows to the planes of
// its layout, in blocks of rows of bounded size on all threads. Bytes, hashes and statistics do not
// depend on the number of threads. For one tensor; used by TensorWriter.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "convert/quantize.h"

namespace tq {

class IntWriter {
 public:
  // What is written where.
  struct Job {
    const PlannedTensor& tensor;
    const TensorEntry& entry;
    const TensorPlace& place;
  };

  // All references outlive the writer.
  IntWriter(const Checkpoint& source, ThreadPool& pool, const QuantizeOptions& options, Job job);

  // Throws what TensorWriter::write() throws.
  TensorResult write();
  // Of each thread.
  std::span<const Workload> work() const { return work_; }

 private:
  // Rows of the block on their way: codes, scales and zero points by row.
  struct Block {
    int64_t begin = 0;  // within the tensor
    int64_t n_rows = 0;
    std::vector<uint8_t> codes;      // [n_rows, in]
    std::vector<uint16_t> scales;    // [n_rows, groups]
    std::vector<uint8_t> zeros;      // [n_rows, groups]
    std::vector<EncodeStats> stats;  // by chunk
    std::vector<int64_t> non_finite;
  };

  void start(int64_t begin);
  void encode_chunk(int64_t chunk, int thread);
  void write_rows();
  void write_columns();
  std::vector<uint8_t> packed_zeros() const;
  void write_shape();
  void put(size_t plane, int64_t byte, std::span<const uint8_t> bytes);

  const Checkpoint& source_;
  ThreadPool& pool_;
  const QuantizeOptions& options_;
  const Job job_;
  const int64_t in_;
  const int64_t groups_;  // of a row
  int64_t chunk_rows_ = 0;
  int64_t block_rows_ = 0;
  Block block_;
  std::vector<std::vector<float>> floats_;  // of each thread: rows
  std::vector<Workload> work_;
};

}  // namespace tq
