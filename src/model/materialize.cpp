#include "model/materialize.h"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/math.h"
#include "format/encode_checks.h"
#include "format/row_encoder.h"
#include "io/non_finite.h"

namespace tq {
namespace {

constexpr int64_t kRowsAtOnce = 16;
constexpr int64_t kBytesAtOnce = int64_t{1} << 17;    // that a thread copies
constexpr int64_t kWeightsAtOnce = int64_t{1} << 16;  // that it decodes

// Of rows from `row` on.
void check_finite(const TensorEntry& tensor, int64_t row, std::span<const float> values) {
  const int64_t bad = find_non_finite(values.data(), static_cast<int64_t>(values.size()));
  if (bad >= 0)
    refuse_non_finite(tensor, row * tensor.in() + bad, values[static_cast<size_t>(bad)]);
}

// Where a weight's rows are written.
struct Planes {
  uint8_t* codes;
  uint16_t* gains;
  int64_t code_row_bytes;
  int64_t gains_per_row;
  uint8_t* code_row(int64_t row) const { return codes + row * code_row_bytes; }
  uint16_t* gain_row(int64_t row) const { return gains + row * gains_per_row; }
};

Planes make_planes(WeightView& view, Buffer& storage) {
  const int64_t n_rows = view.experts * view.rows;
  const int64_t gains_begin = round_up(n_rows * view.code_row_bytes(), Buffer::kAlignment);
  storage = Buffer(
      static_cast<size_t>(gains_begin + n_rows * view.gains_per_row() * int64_t{sizeof(uint16_t)}));
  const Planes planes{storage.data(), reinterpret_cast<uint16_t*>(storage.data() + gains_begin),
                      view.code_row_bytes(), view.gains_per_row()};
  view.codes = planes.codes;
  view.gains = view.group > 0 ? planes.gains : nullptr;
  return planes;
}

}  // namespace

Materializer::Materializer(const Checkpoint& checkpoint, const EncodeOptions& encode, int threads,
                           WeightValues values)
    : checkpoint_(checkpoint), encode_(encode), threads_(threads), values_(values) {}

WeightView Materializer::shape(const TensorEntry& tensor, const FormatTraits& format) {
  const int64_t experts = tensor.shape.size() == 3 ? tensor.shape.front() : 1;
  return weight_shape(format, tensor.n_rows() / experts, tensor.in(), experts);
}

WeightView Materializer::weight(const TensorEntry& tensor, const FormatTraits& format,
                                Buffer& storage) {
  WeightView view = shape(tensor, format);
  if (values_ == WeightValues::kNone) return view;
  const Planes planes = make_planes(view, storage);
  const int64_t rows_at_once = round_up(kRowsAtOnce, format.rows_together);
  const auto in = static_cast<size_t>(view.in);
  std::vector<std::vector<float>> scratch(static_cast<size_t>(pool().size()));  // a thread's rows
  std::vector<RowEncoder> encoders(scratch.size(), {tensor.name, view, encode_});
  auto encode_rows = [&](int64_t begin, int64_t end, int thread) {
    std::vector<float>& rows = scratch[static_cast<size_t>(thread)];
    rows.resize(static_cast<size_t>(end - begin) * in);
    checkpoint_.read_rows(tensor, begin, end - begin, rows.data());
    check_finite(tensor, begin, rows);
    encoders[static_cast<size_t>(thread)].encode(rows.data(), end - begin, planes.code_row(begin),
                                                 planes.gain_row(begin));
  };
  pool().parallel_for(tensor.n_rows(), rows_at_once, encode_rows);
  checkpoint_.drop_rows(tensor, 0, tensor.n_rows());
  return view;
}

EncodeSource Materializer::source(const TensorEntry& tensor, int64_t first) {
  EncodeSource source{DType::kF32, {}};
  if (tensor.dtype == DType::kBF16 || tensor.dtype == DType::kF16 || tensor.dtype == DType::kF32) {
    source.dtype = *tensor.dtype;
    const int64_t row_bytes = tensor.in() * dtype_info(source.dtype).bytes;
    source.read = [this, &tensor, first, row_bytes](int64_t begin, int64_t n, void* out) {
      auto copy = [&](int64_t part, int64_t end, int /*thread*/) {
        checkpoint_.read_raw(tensor, (first + begin) * row_bytes + part,
                             {static_cast<uint8_t*>(out) + part, static_cast<size_t>(end - part)});
      };
      pool().parallel_for(n * row_bytes, kBytesAtOnce, copy);
    };
    return source;
  }
  source.read = [this, &tensor, first](int64_t begin, int64_t n, void* out) {
    auto read = [&](int64_t row, int64_t end, int /*thread*/) {
      checkpoint_.read_rows(tensor, first + begin + row, end - row,
                            static_cast<float*>(out) + row * tensor.in());
    };
    pool().parallel_for(n, std::clamp<int64_t>(kWeightsAtOnce / tensor.in(), 1, n), read);
  };
  return source;
}

WeightView Materializer::encode(const TensorEntry& tensor, int64_t first, const WeightView& matrix,
                                WeightEncoder& encoder) {
  encoded_.push_back({&tensor, &matrix.traits()});
  return encoder.encode(matrix, source(tensor, first), encode_);
}

void Materializer::finish(WeightEncoder& encoder) {
  const int64_t bad = encoder.finish();
  const std::vector<Encoded> all = std::exchange(encoded_, {});
  if (bad < 0) return;
  // Found on the device, which does not know what: the host says it as it would have itself.
  const Encoded& first = all.at(static_cast<size_t>(bad));
  const TensorEntry& tensor = *first.tensor;
  const WeightView view = shape(tensor, *first.format);
  std::vector<float> row(static_cast<size_t>(tensor.in()));
  std::vector<uint8_t> codes(static_cast<size_t>(view.code_row_bytes()));
  std::vector<uint16_t> gains(static_cast<size_t>(view.gains_per_row()));
  RowEncoder again(tensor.name, view, encode_);
  for (int64_t i = 0; i < tensor.n_rows(); ++i) {
    checkpoint_.read_rows(tensor, i, 1, row.data());
    check_finite(tensor, i, row);
    again.encode(row.data(), 1, codes.data(), gains.data());
  }
  fail(ErrorCode::kDevice, "{}: the device read other weights than the host", tensor.name);
}

WeightView Materializer::transposed_heads(const WeightView& weight, int64_t head_rows, int64_t rows,
                                          const FormatTraits& format, Buffer& storage) {
  WeightView view = weight_shape(format, weight.in, rows, weight.rows / head_rows);
  if (values_ == WeightValues::kNone) return view;
  const Planes planes = make_planes(view, storage);
  auto transpose = [&](int64_t begin, int64_t end, int /*thread*/) {
    std::vector<float> decoded(static_cast<size_t>(weight.in));
    std::vector<float> scratch(static_cast<size_t>(weight.in_padded));
    std::vector<float> matrix(static_cast<size_t>(weight.in * rows));  // [weight.in, rows]
    RowEncoder encoder("absorbed keys", view, encode_);
    for (int64_t head = begin; head < end; ++head) {
      for (int64_t r = 0; r < rows; ++r) {
        decode_row_plain(weight, head * head_rows + r, decoded.data(), scratch.data());
        for (int64_t i = 0; i < weight.in; ++i) {
          matrix[static_cast<size_t>(i * rows + r)] = decoded[static_cast<size_t>(i)];
        }
      }
      encoder.encode(matrix.data(), weight.in, planes.code_row(head * weight.in),
                     planes.gain_row(head * weight.in));
    }
  };
  pool().parallel_for(view.experts, 1, transpose);
  return view;
}

ThreadPool& Materializer::pool() {
  if (pool_ == nullptr) pool_ = std::make_unique<ThreadPool>(threads_);
  return *pool_;
}

void Materializer::vector(const TensorEntry& tensor, AffineMap map, float* out) const {
  const std::span<float> values(out, static_cast<size_t>(tensor.n_elements()));
  checkpoint_.read_rows(tensor, 0, tensor.n_rows(), out);
  check_finite(tensor, 0, values);
  for (float& value : values) value = value * map.factor + map.offset;
}

}  // namespace tq
