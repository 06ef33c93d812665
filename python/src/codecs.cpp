// Storage formats and the rotation, on NumPy arrays.
#include <algorithm>

#include "arrays.h"
#include "base/error.h"
#include "format/encode_checks.h"
#include "format/hadamard.h"
#include "format/row_encoder.h"

namespace tq::python {
namespace {

const FormatTraits& format_of(const std::string& name) {
  if (const FormatTraits* traits = find_format(name)) return *traits;
  std::string names;
  for (const FormatTraits& format : all_formats()) {
    names += (names.empty() ? "" : ", ") + std::string(format.name);
  }
  fail(ErrorCode::kInvalidArgument, "there is no format {}: {}", name, names);
}

Effort effort_of(const std::string& name) {
  if (name == "fast") return Effort::kFast;
  if (name == "default") return Effort::kDefault;
  if (name == "best") return Effort::kBest;
  if (name == "reference") return Effort::kReference;
  fail(ErrorCode::kInvalidArgument, "effort {} is none of fast, default, best, reference", name);
}

// (codes [rows, bytes], gains as the bits of f16 [rows, groups], squared error / squared norm)
nb::tuple encode(const Matrix<float>& weights, const std::string& format,
                 const std::string& effort) {
  const FormatTraits& traits = format_of(format);
  const auto rows = static_cast<int64_t>(weights.shape(0));
  const auto in = static_cast<int64_t>(weights.shape(1));
  const EncodeOptions options{.effort = effort_of(effort)};
  if (rows == 0 || in == 0) fail(ErrorCode::kInvalidArgument, "there are no weights");
  if (rows % traits.rows_together != 0) {
    fail(ErrorCode::kInvalidArgument, "{} encodes {} rows together, and {} is no multiple", format,
         traits.rows_together, rows);
  }
  const WeightView shape = weight_shape(traits, rows, in);
  std::vector<uint8_t> codes(static_cast<size_t>(rows * shape.code_row_bytes()));
  std::vector<uint16_t> gains(static_cast<size_t>(rows * shape.gains_per_row()));
  EncodeStats stats;
  {
    const nb::gil_scoped_release unlock;
    if (const int64_t at = find_non_finite(weights.data(), rows * in); at >= 0) {
      fail(ErrorCode::kInvalidArgument, "weight [{}, {}] is not finite", at / in, at % in);
    }
    RowEncoder encoder("the array", shape, options);
    stats = encoder.encode(weights.data(), rows, codes.data(), gains.data());
  }
  const auto n_rows = static_cast<size_t>(rows);
  const size_t n_bytes = codes.size() / n_rows;
  const size_t n_gains = gains.size() / n_rows;
  return nb::make_tuple(new_array(std::move(codes), {n_rows, n_bytes}),
                        new_array(std::move(gains), {n_rows, n_gains}), stats.rel_mse());
}

NewArray<float> decode(const Matrix<uint8_t>& codes, const Matrix<uint16_t>& gains,
                       const std::string& format, int64_t in) {
  const FormatTraits& traits = format_of(format);
  const auto rows = static_cast<int64_t>(codes.shape(0));
  // Before anything is computed from it: a code of at least one bit for each weight.
  if (in < 1 || in > static_cast<int64_t>(codes.shape(1)) * 8) {
    fail(ErrorCode::kInvalidArgument, "rows of {} bytes do not hold {} weights", codes.shape(1),
         in);
  }
  WeightView view = weight_shape(traits, rows, in);
  if (static_cast<int64_t>(codes.shape(1)) != view.code_row_bytes()) {
    fail(ErrorCode::kInvalidArgument, "rows of {} weights have {} bytes of codes as {}, not {}", in,
         view.code_row_bytes(), format, codes.shape(1));
  }
  if (static_cast<int64_t>(gains.shape(0)) != rows ||
      static_cast<int64_t>(gains.shape(1)) != view.gains_per_row()) {
    fail(ErrorCode::kInvalidArgument, "the gains of {} are [{}, {}], not [{}, {}]", format, rows,
         view.gains_per_row(), gains.shape(0), gains.shape(1));
  }
  view.codes = codes.data();
  view.gains = view.group > 0 ? gains.data() : nullptr;
  std::vector<float> out(static_cast<size_t>(rows * in));
  {
    const nb::gil_scoped_release unlock;
    std::vector<float> scratch(static_cast<size_t>(view.in_padded));
    for (int64_t row = 0; row < rows; ++row) {
      decode_row_plain(view, row, out.data() + row * in, scratch.data());
    }
  }
  return new_array(std::move(out), {static_cast<size_t>(rows), static_cast<size_t>(in)});
}

NewArray<float> hadamard(const Matrix<float>& x, int group, bool inverse) {
  if (group != 32 && group != 64 && group != 128 && group != 256) {
    fail(ErrorCode::kInvalidArgument, "a group has 32, 64, 128 or 256 numbers, not {}", group);
  }
  const auto n_group = static_cast<size_t>(group);
  if (x.shape(1) % n_group != 0) {
    fail(ErrorCode::kInvalidArgument, "rows of {} numbers are not whole groups of {}", x.shape(1),
         group);
  }
  std::vector<float> out(x.data(), x.data() + x.size());
  {
    const nb::gil_scoped_release unlock;
    for (size_t i = 0; i < out.size(); i += n_group) {
      inverse ? unrotate_group(out.data() + i, group) : rotate_group(out.data() + i, group);
    }
  }
  return new_array(std::move(out), {x.shape(0), x.shape(1)});
}

}  // namespace

void bind_codecs(nb::module_& module) {
  module.def("formats", [] {
    std::vector<std::string> names;
    for (const FormatTraits& format : all_formats()) names.emplace_back(format.name);
    return names;
  });
  module.def("encode", encode);
  module.def("decode", decode);
  module.def("hadamard", hadamard);
}

}  // namespace tq::python
