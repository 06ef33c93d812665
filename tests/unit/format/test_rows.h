// Rows of weights for the codec's tests, and encode/decode with the planes a checkpoint would hold.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "format/encode_checks.h"
#include "format/packing.h"
#include "format/traits.h"

namespace tq {

inline std::vector<float> gaussian_row(int64_t n, unsigned seed, float sigma = 0.02f) {
  std::mt19937 draw(seed);
  std::normal_distribution<float> normal(0.0f, sigma);
  std::vector<float> x(n);
  for (float& value : x) value = normal(draw);
  return x;
}

// Rows that an encoder may stumble over, with names for messages.
struct NamedRow {
  std::string name;
  std::vector<float> x;
};

// Two groups of 256, and so a multiple of every group.
inline std::vector<NamedRow> odd_rows() {
  constexpr int64_t kSize = 512;
  using Limits = std::numeric_limits<float>;
  std::vector<NamedRow> rows = {{"gaussian", gaussian_row(kSize, 1)}};
  const auto filled = [&](const std::string& name, auto&& value) {
    std::vector<float> x(kSize);
    for (int64_t i = 0; i < kSize; ++i) x[i] = value(i);
    rows.push_back({name, std::move(x)});
  };
  filled("zeros", [](int64_t) { return 0.0f; });
  filled("negative zeros", [](int64_t) { return -0.0f; });
  filled("constant", [](int64_t) { return 0.25f; });
  filled("spikes", [](int64_t i) { return i % 37 == 5 ? -3.5f : 0.0f; });
  filled("one spike", [](int64_t i) { return i == 300 ? 1.0f : 0.0f; });
  filled("largest", [](int64_t i) { return i % 3 == 0 ? Limits::max() : -Limits::max(); });
  filled("huge", [](int64_t i) { return (i % 7 - 3) * 1e37f; });
  filled("smallest", [](int64_t i) { return i % 5 == 0 ? Limits::denorm_min() : 0.0f; });
  filled("denormal", [](int64_t i) { return (i % 11 - 5) * 1e-40f; });
  filled("tiny", [](int64_t i) { return (i % 11 - 5) * 3e-38f; });
  filled("rising",
         [](int64_t i) { return std::ldexp(i % 2 == 0 ? 1.0f : -1.0f, int(i % 250) - 125); });
  // One row of the Hadamard matrix, but for its signs: the rotated vector has few large entries.
  filled("coherent", [](int64_t i) { return i % 2 == 0 ? 1.0f : -1.0f; });
  const float cubes = 1e3f;
  const auto gaussian = gaussian_row(kSize, 2, 1.0f);
  filled("heavy tails", [&](int64_t i) { return cubes * gaussian[i] * gaussian[i] * gaussian[i]; });
  return rows;
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

// The bits of all that an encoder of rows returns.
struct EncodedBits {
  std::vector<uint8_t> codes;
  std::vector<uint32_t> gains;
  std::pair<uint64_t, uint64_t> stats;
  bool operator==(const EncodedBits&) const = default;
};

// encode_row: as FormatTraits::encode_rows.
template <typename EncodeRow>
EncodedBits encode_bits(const EncodeRow& encode_row, int bits, const std::vector<float>& x,
                        int group, const EncodeOptions& options) {
  const auto n = static_cast<int64_t>(x.size());
  EncodedBits out;
  out.codes.resize(packed_bytes(n, bits));  // exact, so that a sanitizer sees what goes beyond
  std::vector<float> gains(n / group);
  const EncodeStats stats = encode_row(x.data(), n, group, options, out.codes.data(), gains.data());
  for (const float gain : gains) out.gains.push_back(std::bit_cast<uint32_t>(gain));
  out.stats = {std::bit_cast<uint64_t>(stats.squared_error),
               std::bit_cast<uint64_t>(stats.squared_norm)};
  return out;
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
