#include "model/materialize.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/float16.h"
#include "base/math.h"

namespace tq {
namespace {

constexpr int64_t kRowsAtOnce = 16;
constexpr float kMaxF16 = 65504;

void check_finite(const TensorEntry& tensor, std::span<const float> values) {
  for (const float value : values) {
    if (!std::isfinite(value)) {
      fail(ErrorCode::kCorrupt, "{}: a weight is {}; the checkpoint is damaged", tensor.name,
           value);
    }
  }
}

void check_fits_f16(const TensorEntry& tensor, std::span<const float> values) {
  for (const float value : values) {
    if (std::fabs(value) > kMaxF16) {
      fail(ErrorCode::kUnsupported, "{}: the weight {} does not fit f16; ask for another format",
           tensor.name, value);
    }
  }
}

// What one thread needs to encode rows.
struct RowScratch {
  std::vector<float> rows;    // [kRowsAtOnce, in]
  std::vector<float> padded;  // [in_padded]
  std::vector<float> gains;   // [groups]
};

}  // namespace

Materializer::Materializer(const Checkpoint& checkpoint, Backend& backend,
                           const EncodeOptions& encode, int threads)
    : checkpoint_(checkpoint), backend_(backend), encode_(encode), threads_(threads) {}

WeightView Materializer::weight(const TensorEntry& tensor, const FormatTraits& format,
                                Buffer& storage) {
  WeightView view;
  view.format = format.id;
  view.in = tensor.in();
  view.experts = tensor.shape.size() == 3 ? tensor.shape.front() : 1;
  view.rows = tensor.n_rows() / view.experts;
  view.group = format.has_scales ? default_group(view.in) : 0;
  view.in_padded = view.group > 0 ? round_up(view.in, view.group) : view.in;

  const int64_t code_bytes = view.code_row_bytes();
  const int64_t n_gains = view.gains_per_row();
  const int64_t gains_begin = round_up(tensor.n_rows() * code_bytes, Buffer::kAlignment);
  storage = backend_.allocate(
      static_cast<size_t>(gains_begin + tensor.n_rows() * n_gains * int64_t{sizeof(uint16_t)}));
  uint8_t* const codes = storage.data();
  auto* const gains = reinterpret_cast<uint16_t*>(storage.data() + gains_begin);
  view.codes = codes;
  view.gains = format.has_scales ? gains : nullptr;

  if (pool_ == nullptr) pool_ = std::make_unique<ThreadPool>(threads_);
  std::vector<RowScratch> scratch(static_cast<size_t>(pool_->size()));
  const auto in = static_cast<size_t>(view.in);
  auto encode_rows = [&](int64_t begin, int64_t end, int thread) {
    RowScratch& mine = scratch[static_cast<size_t>(thread)];
    mine.rows.resize(static_cast<size_t>(kRowsAtOnce) * in);
    mine.padded.resize(static_cast<size_t>(view.in_padded));
    mine.gains.resize(static_cast<size_t>(n_gains));
    checkpoint_.read_rows(tensor, begin, end - begin, mine.rows.data());
    const std::span<const float> values(mine.rows.data(), static_cast<size_t>(end - begin) * in);
    check_finite(tensor, values);
    if (format.name == "f16") check_fits_f16(tensor, values);
    for (int64_t row = begin; row < end; ++row) {
      const auto source = values.subspan(static_cast<size_t>(row - begin) * in, in);
      std::copy(source.begin(), source.end(), mine.padded.begin());
      format.encode_row(mine.padded.data(), view.in_padded, view.group, encode_,
                        codes + row * code_bytes, mine.gains.data());
      std::transform(mine.gains.begin(), mine.gains.end(), gains + row * n_gains, f32_to_f16);
    }
  };
  pool_->parallel_for(tensor.n_rows(), kRowsAtOnce, encode_rows);
  checkpoint_.drop_rows(tensor, 0, tensor.n_rows());
  return view;
}

void Materializer::vector(const TensorEntry& tensor, float offset, float* out) const {
  const std::span<float> values(out, static_cast<size_t>(tensor.n_elements()));
  checkpoint_.read_rows(tensor, 0, tensor.n_rows(), out);
  check_finite(tensor, values);
  for (float& value : values) value += offset;
}

}  // namespace tq
