// Rows of weights for the codec's tests, and encode/decode with the planes a checkpoint would hold.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "format/encode_checks.h"
#include "format/traits.h"

namespace tq {

inline std::vector<float> gaussian_row(int64_t n, unsigned seed, float sigma = 0.02f) {
  std::mt19937 draw(seed);
  std::normal_distribution<float> normal(0.0f, sigma);
  std::vector<float> x(n);
  for (float& value : x) value = normal(draw);
  return x;
}

// One encoded row. Its planes are exactly as large as they must be.
struct EncodedRow {
  std::vector<uint8_t> codes;
  std::vector<float> gains;
  EncodeStats stats;
};

inline EncodedRow encode(const FormatTraits& format, const std::vector<float>& x, int group,
                         const EncodeOptions& options = {}) {
  const auto n = static_cast<int64_t>(x.size());
  EncodedRow row;
  row.codes.resize(format.code_row_bytes(n));
  if (format.has_scales) row.gains.resize(n / group);
  row.stats = format.encode_rows(x.data(), n, group, options, row.codes.data(), row.gains.data());
  return row;
}

// Back to the plain basis, with gains rounded to f16 as a checkpoint stores them.
inline std::vector<float> decode(const FormatTraits& format, const EncodedRow& row, int64_t n,
                                 int group) {
  std::vector<uint16_t> gains(row.gains.size());
  store_gains(row.gains.data(), static_cast<int64_t>(gains.size()), "test", gains.data());
  WeightView view;
  view.format = format.id;
  view.rows = 1;
  view.in = view.in_padded = n;
  view.group = format.has_scales ? group : 0;
  view.codes = row.codes.data();
  view.gains = gains.empty() ? nullptr : gains.data();
  std::vector<float> out(n);
  decode_row_plain(view, 0, out.data(), nullptr);
  return out;
}

inline double relative_error(const std::vector<float>& x, const std::vector<float>& decoded) {
  EncodeStats stats;
  for (size_t i = 0; i < x.size(); ++i) {
    const double error = double{x[i]} - decoded[i];
    stats.squared_error += error * error;
    stats.squared_norm += double{x[i]} * x[i];
  }
  return stats.rel_mse();
}

}  // namespace tq
