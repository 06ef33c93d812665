#include "convert/quantize.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <span>

#include "base/math.h"
#include "convert/blocks.h"
#include "convert/int_writer.h"
#include "convert/ldlq.h"
#include "format/row_encoder.h"
#include "io/native/content_hash.h"
#include "tensor/buffer.h"

namespace tq {
namespace {

constexpr int64_t kCopyBytes = int64_t{16} << 20;
constexpr uint64_t kHashBytes = uint64_t{8} << 20;
constexpr int64_t kFeedbackRows = 64;  // of a chunk, as each reads all of the feedback

// A copy of the bytes in `copy` with these elements zero.
std::span<const uint8_t> zero_elements(std::span<const uint8_t> bytes,
                                       std::span<const int64_t> elements, DType dtype,
                                       std::vector<uint8_t>& copy) {
  copy.assign(bytes.begin(), bytes.end());
  const auto size = static_cast<size_t>(dtype_info(dtype).bytes);
  for (const int64_t element : elements) {
    std::memset(copy.data() + static_cast<size_t>(element) * size, 0, size);
  }
  return copy;
}

}  // namespace

std::optional<std::string> range_hash(const OutputFile& file, uint64_t offset, uint64_t bytes,
                                      const std::function<void()>& tick) {
  ContentHash hash;
  std::vector<uint8_t> buffer;
  for (uint64_t done = 0; done < bytes; done += buffer.size()) {
    if (tick) tick();
    buffer.resize(std::min(bytes - done, kHashBytes));
    if (file.read_at(offset + done, buffer) < buffer.size()) return std::nullopt;
    hash.update(buffer);
  }
  return hash.hex();
}

// One block of rows on its way from fp32 to encoded planes.
struct TensorWriter::Block {
  const PlannedTensor& tensor;
  const TensorEntry& entry;
  const TensorPlace& place;
  int64_t chunk_rows = 0;
  int64_t code_row_bytes = 0;
  int64_t gains_per_row = 0;
  int64_t gain_bytes = 0;  // of one stored gain: f16 or f32

  int64_t row_begin = 0;
  int64_t n_rows = 0;
  Buffer codes;                     // [n_rows, code_row_bytes]
  Buffer gains;                     // [n_rows, gains_per_row]
  std::vector<EncodeStats> stats;   // per chunk
  std::vector<int64_t> non_finite;  // per chunk
  std::unique_ptr<const ErrorFeedback> feedback;

  Block(const PlannedTensor& planned, const TensorEntry& source, const TensorPlace& target,
        bool with_feedback)
      : tensor(planned), entry(source), place(target) {
    chunk_rows = std::max<int64_t>(with_feedback ? kFeedbackRows : 1,
                                   kChunkFloats / std::max<int64_t>(1, tensor.in_padded));
    chunk_rows = round_up(chunk_rows, tensor.traits->rows_together);
    code_row_bytes = tensor.traits->code_row_bytes(tensor.in_padded);
    if (tensor.compressed()) {
      gains_per_row = tensor.in_padded / tensor.group;
      gain_bytes = dtype_info(tensor.planes[1].dtype).bytes;
    }
    const int64_t rows = std::min(entry.n_rows(), max_rows());
    codes = Buffer(static_cast<size_t>(rows * code_row_bytes));
    gains = Buffer(static_cast<size_t>(rows * gain_row_bytes()));
  }

  int64_t max_rows() const {
    const int64_t chunks = kBlockFloats / std::max(kChunkFloats, tensor.in_padded);
    return chunk_rows * std::max<int64_t>(1, chunks);
  }
  // What RowEncoder wants to know.
  WeightView shape() const {
    WeightView view = weight_shape(*tensor.traits, entry.n_rows(), entry.in());
    view.in_padded = tensor.in_padded;
    view.group = tensor.group;
    return view;
  }
  int64_t gain_row_bytes() const { return gains_per_row * gain_bytes; }
  int64_t n_chunks() const { return (n_rows + chunk_rows - 1) / chunk_rows; }

  // Rows from `row` on, before `end`.
  void start(int64_t row, int64_t end) {
    row_begin = row;
    n_rows = std::min(max_rows(), end - row);
    stats.assign(static_cast<size_t>(n_chunks()), {});
    non_finite.assign(static_cast<size_t>(n_chunks()), 0);
  }
};

TensorWriter::TensorWriter(const Checkpoint& source, ThreadPool& pool,
                           const QuantizeOptions& options)
    : source_(source), pool_(pool), options_(options), threads_(static_cast<size_t>(pool.size())) {}

Workload TensorWriter::workload() const {
  Workload sum{.n_threads = pool_.size()};
  for (const ThreadState& thread : threads_) sum.add(thread.work);
  sum.write_seconds /= sum.n_threads;
  return sum;
}

TensorResult TensorWriter::write(const PlannedTensor& tensor, const TensorPlace& place) {
  const TensorEntry& entry = source_.tensors()[static_cast<size_t>(tensor.source)];
  if (tensor.action == TensorAction::kEncode) return encode(tensor, entry, place);
  if (tensor.action == TensorAction::kIntegers) return integers(tensor, entry, place);
  return copy(tensor, entry, place);
}

TensorResult TensorWriter::integers(const PlannedTensor& tensor, const TensorEntry& entry,
                                    const TensorPlace& place) {
  IntWriter writer(source_, pool_, options_, {tensor, entry, place});
  TensorResult result = writer.write();
  for (size_t t = 0; t < threads_.size(); ++t) threads_[t].work.add(writer.work()[t]);
  return result;
}

TensorResult TensorWriter::copy(const PlannedTensor& tensor, const TensorEntry& entry,
                                const TensorPlace& place) {
  TensorResult result;
  const int64_t rows = entry.n_rows();
  const bool plain = tensor.action == TensorAction::kCopy;
  const bool floats = plain && dtype_info(*entry.dtype).is_float;
  std::vector<float> values;
  std::vector<uint8_t> read;
  std::vector<uint8_t> cleaned;
  for (size_t p = 0; p < tensor.planes.size(); ++p) {
    ContentHash hash;
    const int64_t row_bytes = rows > 0 ? plane_bytes(tensor.planes[p]) / rows : 0;
    const int64_t step = std::max<int64_t>(1, kCopyBytes / std::max<int64_t>(1, row_bytes));
    for (int64_t row = 0; row < rows; row += step) {
      const int64_t n = std::min(step, rows - row);
      read.resize(static_cast<size_t>(n * row_bytes));
      if (plain) {
        source_.read_raw(entry, row * row_bytes, read);
      } else {
        source_.read_plane(entry, p, row * row_bytes, read);
      }
      std::span<const uint8_t> bytes = read;
      if (floats) {
        values.resize(static_cast<size_t>(n * entry.in()));
        to_f32(*entry.dtype, bytes.data(), n * entry.in(), values.data());
        const std::vector<int64_t> bad = find_bad(entry, row, values, options_.allow_nan);
        if (!bad.empty()) bytes = zero_elements(bytes, bad, *entry.dtype, cleaned);
        result.non_finite += static_cast<int64_t>(bad.size());
      }
      place.file->write_at(place.offsets[p] + static_cast<uint64_t>(row * row_bytes), bytes);
      hash.update(bytes);
      source_.drop_rows(entry, 0, row + n);
      if (options_.tick && p == 0) options_.tick(n * entry.in());
    }
    result.hashes[p] = hash.hex();
  }
  return result;
}

TensorResult TensorWriter::encode(const PlannedTensor& tensor, const TensorEntry& entry,
                                  const TensorPlace& place) {
  const std::vector<HessianPart> parts = parts_of(tensor, entry);
  const bool has_feedback = std::any_of(
      parts.begin(), parts.end(), [](const HessianPart& part) { return part.hessian != nullptr; });
  Block block(tensor, entry, place, has_feedback);
  std::array<ContentHash, kMaxPlanes> hashes;
  TensorResult result;
  std::shared_ptr<const Hessian> factored;
  for (const HessianPart& part : parts) {
    if (part.hessian != factored) {
      factored = part.hessian;
      block.feedback.reset();
      if (factored) {
        block.feedback =
            std::make_unique<ErrorFeedback>(*factored, tensor.in_padded, tensor.group, pool_);
      }
    }
    for (int64_t row = part.row_begin; row < part.row_end; row += block.n_rows) {
      block.start(row, part.row_end);
      encode_block(block, result);
      hashes[0].update(as_bytes(block.codes.data(), block.n_rows * block.code_row_bytes));
      hashes[1].update(as_bytes(block.gains.data(), block.n_rows * block.gain_row_bytes()));
    }
  }
  for (size_t p = 0; p < tensor.planes.size(); ++p) result.hashes[p] = hashes[p].hex();
  return result;
}

// What the inputs of its rows are known to be; all rows, in order.
std::vector<HessianPart> TensorWriter::parts_of(const PlannedTensor& tensor,
                                                const TensorEntry& entry) const {
  const bool by_groups = tensor.compressed() && tensor.traits->rows_together == 1;
  if (options_.hessians == nullptr || !by_groups) return {{0, entry.n_rows(), nullptr}};
  return options_.hessians->parts(entry);
}

void TensorWriter::encode_block(Block& block, TensorResult& result) {
  auto encode_chunks = [&](int64_t begin, int64_t end, int thread) {
    for (int64_t chunk = begin; chunk < end; ++chunk) encode_chunk(block, chunk, thread);
  };
  pool_.parallel_for(block.n_chunks(), 1, encode_chunks);
  for (const EncodeStats& stats : block.stats) result.stats.add(stats);
  for (const int64_t count : block.non_finite) result.non_finite += count;
  // From the start: pages that straddle two blocks go too, so that none stay behind.
  source_.drop_rows(block.entry, 0, block.row_begin + block.n_rows);
  if (options_.tick) options_.tick(block.n_rows * block.entry.in());
}

void TensorWriter::encode_chunk(Block& block, int64_t chunk, int thread) {
  const int64_t in = block.entry.in();
  const int64_t first = chunk * block.chunk_rows;  // within the block
  const int64_t n = std::min(block.chunk_rows, block.n_rows - first);
  ThreadState& state = threads_[static_cast<size_t>(thread)];
  std::vector<float>& floats = state.floats;
  floats.resize(static_cast<size_t>(n * in));
  const std::span<float> rows(floats);
  source_.read_rows(block.entry, block.row_begin + first, n, rows.data());
  const std::vector<int64_t> bad =
      find_bad(block.entry, block.row_begin + first, rows, options_.allow_nan);
  for (const int64_t element : bad) rows[static_cast<size_t>(element)] = 0;
  block.non_finite[static_cast<size_t>(chunk)] = static_cast<int64_t>(bad.size());

  uint8_t* const codes_out = block.codes.data() + first * block.code_row_bytes;
  uint8_t* const gains_out = block.gains.data() + first * block.gain_row_bytes();
  EncodeStats& stats = block.stats[static_cast<size_t>(chunk)];
  const double start = thread_cpu_seconds();
  RowEncoder encoder(block.entry.name, block.shape(), options_.encode);
  if (block.gain_bytes == 4) {  // f16 in our files, f32 in the reference's
    stats = encoder.encode(rows.data(), n, codes_out, reinterpret_cast<float*>(gains_out));
  } else if (block.feedback == nullptr) {
    stats = encoder.encode(rows.data(), n, codes_out, reinterpret_cast<uint16_t*>(gains_out));
  } else {
    FeedbackEncoder with_feedback(block.entry.name, block.shape(), options_.encode,
                                  *block.feedback);
    stats = with_feedback.encode(rows.data(), n, codes_out, reinterpret_cast<uint16_t*>(gains_out));
  }
  state.work.encode_cpu_seconds += thread_cpu_seconds() - start;
  state.work.n_weights += n * in;
  write_chunk(block, first, n, state.work);
}

// Rows [first_row, first_row + n_rows) of the block to their places in the file.
void TensorWriter::write_chunk(const Block& block, int64_t first_row, int64_t n_rows,
                               Workload& work) const {
  const auto start = std::chrono::steady_clock::now();
  const auto write = [&](size_t plane, const Buffer& from, int64_t row_bytes) {
    const auto begin = static_cast<uint64_t>((block.row_begin + first_row) * row_bytes);
    block.place.file->write_at(block.place.offsets[plane] + begin,
                               as_bytes(from.data() + first_row * row_bytes, n_rows * row_bytes));
    work.written_bytes += n_rows * row_bytes;
  };
  write(0, block.codes, block.code_row_bytes);
  if (block.gains_per_row > 0) write(1, block.gains, block.gain_row_bytes());
  work.write_seconds +=
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace tq
