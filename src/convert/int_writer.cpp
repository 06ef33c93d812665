#include "convert/int_writer.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/math.h"
#include "convert/blocks.h"

namespace tq {
namespace {

static_assert(std::endian::native == std::endian::little, "words are written as they lie");

// Blocks hold whole words of zero points along a column: at 3 bits 32 of them are three.
constexpr int64_t kRowsTogether = 32;
constexpr int64_t kTileColumns = 64;  // inputs that one thread exchanges with outputs at a time
constexpr int64_t kAwqRows = 8;       // outputs in a word

// Planes in the order in which the layouts name them.
constexpr size_t kCodes = 0;
constexpr size_t kScales = 1;  // compressed-tensors
constexpr size_t kShape = 2;
constexpr size_t kZeros = 3;
constexpr size_t kAwqZeros = 1;
constexpr size_t kAwqScales = 2;

}  // namespace

IntWriter::IntWriter(const Checkpoint& source, ThreadPool& pool, const QuantizeOptions& options,
                     Job job)
    : source_(source),
      pool_(pool),
      options_(options),
      job_(job),
      in_(job.entry.in()),
      groups_(in_ / job.tensor.ints.group),
      floats_(static_cast<size_t>(pool.size())),
      work_(static_cast<size_t>(pool.size())) {
  chunk_rows_ = round_up(std::max<int64_t>(1, kChunkFloats / in_), kRowsTogether);
  block_rows_ = chunk_rows_ * std::max<int64_t>(1, kBlockFloats / (chunk_rows_ * in_));
}

TensorResult IntWriter::write() {
  TensorResult result;
  const int64_t n_rows = job_.tensor.n_rows;
  for (int64_t row = 0; row < n_rows; row += block_.n_rows) {
    start(row);
    auto encode = [&](int64_t begin, int64_t end, int thread) {
      for (int64_t chunk = begin; chunk < end; ++chunk) encode_chunk(chunk, thread);
    };
    pool_.parallel_for(ceil_div(block_.n_rows, chunk_rows_), 1, encode);
    for (const EncodeStats& stats : block_.stats) result.stats.add(stats);
    for (const int64_t count : block_.non_finite) result.non_finite += count;
    if (job_.tensor.int_order == IntOrder::kAwq) {
      write_columns();
    } else {
      write_rows();
    }
    source_.drop_rows(job_.entry, 0, job_.tensor.row_begin + row + block_.n_rows);
    if (options_.tick) options_.tick(block_.n_rows * in_);
  }
  if (job_.tensor.int_order == IntOrder::kRows) write_shape();
  // Read back, as columns are not written in the order of the file.
  for (size_t p = 0; p < job_.tensor.planes.size(); ++p) {
    const auto bytes = static_cast<uint64_t>(plane_bytes(job_.tensor.planes[p]));
    const auto hash = range_hash(*job_.place.file, job_.place.offsets[p], bytes);
    if (!hash) {
      fail(ErrorCode::kIo, "{}: was cut short while it was written",
           job_.place.file->path().string());
    }
    result.hashes[p] = *hash;
  }
  return result;
}

void IntWriter::start(int64_t begin) {
  block_.begin = begin;
  block_.n_rows = std::min(block_rows_, job_.tensor.n_rows - begin);
  const auto rows = static_cast<size_t>(block_.n_rows);
  block_.codes.resize(rows * static_cast<size_t>(in_));
  block_.scales.resize(rows * static_cast<size_t>(groups_));
  block_.zeros.resize(block_.scales.size());
  const auto chunks = static_cast<size_t>(ceil_div(block_.n_rows, chunk_rows_));
  block_.stats.assign(chunks, {});
  block_.non_finite.assign(chunks, 0);
}

void IntWriter::encode_chunk(int64_t chunk, int thread) {
  const int64_t first = chunk * chunk_rows_;
  const int64_t n = std::min(chunk_rows_, block_.n_rows - first);
  std::vector<float>& rows = floats_[static_cast<size_t>(thread)];
  rows.resize(static_cast<size_t>(n * in_));
  const int64_t source_row = job_.tensor.row_begin + block_.begin + first;
  source_.read_rows(job_.entry, source_row, n, rows.data());
  const std::vector<int64_t> bad = find_bad(job_.entry, source_row, rows, options_.allow_nan);
  for (const int64_t element : bad) rows[static_cast<size_t>(element)] = 0;
  block_.non_finite[static_cast<size_t>(chunk)] = static_cast<int64_t>(bad.size());
  const double before = thread_cpu_seconds();
  EncodeStats& stats = block_.stats[static_cast<size_t>(chunk)];
  for (int64_t i = 0; i < n; ++i) {
    const int64_t row = first + i;
    const IntRow out{block_.codes.data() + row * in_, block_.scales.data() + row * groups_,
                     block_.zeros.data() + row * groups_};
    stats.add(
        encode_int_row(rows.data() + i * in_, in_, job_.tensor.ints, options_.encode.effort, out));
    if (!std::isfinite(stats.squared_error)) {
      fail(ErrorCode::kUnsupported,
           "tensor {}: row {} has weights beyond the range of {} with {} scales", job_.tensor.name,
           source_row + i, job_.tensor.format,
           job_.tensor.ints.scale == IntScale::kF16 ? "f16" : "bf16");
    }
  }
  Workload& work = work_[static_cast<size_t>(thread)];
  work.encode_cpu_seconds += thread_cpu_seconds() - before;
  work.n_weights += n * in_;
}

// Bytes of a plane, from `byte` on; by the calling thread.
void IntWriter::put(size_t plane, int64_t byte, std::span<const uint8_t> bytes) {
  const auto start = std::chrono::steady_clock::now();
  job_.place.file->write_at(job_.place.offsets[plane] + static_cast<uint64_t>(byte), bytes);
  work_[0].written_bytes += static_cast<int64_t>(bytes.size());
  work_[0].write_seconds +=
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void IntWriter::write_rows() {
  const int bits = job_.tensor.ints.bits;
  const int64_t row_bytes = in_ * bits / 8;
  std::vector<uint8_t> packed(static_cast<size_t>(block_.n_rows * row_bytes));
  auto pack = [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      pack_codes(block_.codes.data() + row * in_, in_, bits, packed.data() + row * row_bytes);
    }
  };
  pool_.parallel_for(block_.n_rows, kRowsTogether, pack);
  put(kCodes, block_.begin * row_bytes, packed);
  put(kScales, block_.begin * groups_ * 2,
      as_bytes(block_.scales.data(), block_.n_rows * groups_ * 2));
  if (job_.tensor.ints.symmetric) return;
  put(kZeros, block_.begin * bits / 32 * groups_ * 4, packed_zeros());
}

// Zero points of a column as a stream of bits, its words under each other: [rows * bits / 32,
// groups].
std::vector<uint8_t> IntWriter::packed_zeros() const {
  const int bits = job_.tensor.ints.bits;
  const int64_t words = block_.n_rows * bits / 32;
  std::vector<uint8_t> column(static_cast<size_t>(block_.n_rows));
  std::vector<uint8_t> stream(static_cast<size_t>(words * 4));
  std::vector<uint8_t> out(static_cast<size_t>(words * groups_ * 4));
  for (int64_t g = 0; g < groups_; ++g) {
    for (int64_t row = 0; row < block_.n_rows; ++row) {
      column[static_cast<size_t>(row)] = block_.zeros[static_cast<size_t>(row * groups_ + g)];
    }
    pack_codes(column.data(), block_.n_rows, bits, stream.data());
    for (int64_t word = 0; word < words; ++word) {
      std::memcpy(out.data() + (word * groups_ + g) * 4, stream.data() + word * 4, 4);
    }
  }
  return out;
}

// The block's rows are columns of the planes: a piece of each of their rows.
void IntWriter::write_columns() {
  const int64_t n_words = block_.n_rows / kAwqRows;
  const int64_t all_words = job_.tensor.n_rows / kAwqRows;
  const int64_t first_word = block_.begin / kAwqRows;
  // words [n, n_words] of values [n_rows, n].
  const auto exchange = [&](const std::vector<uint8_t>& values, int64_t n) {
    std::vector<uint32_t> words(static_cast<size_t>(n * n_words));
    auto tiles = [&](int64_t begin, int64_t end, int) {
      for (int64_t word = 0; word < n_words; ++word) {
        const uint8_t* rows = values.data() + word * kAwqRows * n;
        for (int64_t k = begin; k < end; ++k) {
          words[static_cast<size_t>(k * n_words + word)] = awq_word(rows + k, n);
        }
      }
    };
    pool_.parallel_for(n, kTileColumns, tiles);
    return words;
  };
  // Rows of `width` bytes of a plane whose rows have `stride`, beginning at `left`.
  const auto put_piece = [&](size_t plane, const void* data, int64_t n, int64_t width,
                             int64_t stride, int64_t left) {
    if (width == stride) return put(plane, 0, as_bytes(data, n * width));
    for (int64_t k = 0; k < n; ++k) {
      put(plane, k * stride + left, as_bytes(static_cast<const uint8_t*>(data) + k * width, width));
    }
  };
  put_piece(kCodes, exchange(block_.codes, in_).data(), in_, n_words * 4, all_words * 4,
            first_word * 4);
  put_piece(kAwqZeros, exchange(block_.zeros, groups_).data(), groups_, n_words * 4, all_words * 4,
            first_word * 4);
  std::vector<uint16_t> scales(block_.scales.size());
  for (int64_t row = 0; row < block_.n_rows; ++row) {
    for (int64_t g = 0; g < groups_; ++g) {
      scales[static_cast<size_t>(g * block_.n_rows + row)] =
          block_.scales[static_cast<size_t>(row * groups_ + g)];
    }
  }
  put_piece(kAwqScales, scales.data(), groups_, block_.n_rows * 2, job_.tensor.n_rows * 2,
            block_.begin * 2);
}

void IntWriter::write_shape() {
  const int64_t shape[2] = {job_.tensor.n_rows, in_};
  put(kShape, 0, as_bytes(shape, sizeof(shape)));
}

}  // namespace tq
