// What the kernel tests share: random data, weights of any format with their values in double, and
// parameters over all instruction sets and formats.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "base/float16.h"
#include "base/math.h"
#include "format/hadamard.h"
#include "format/traits.h"
#include "kernels/cpu/kernels.h"

namespace tq::fixtures {

inline std::vector<float> random_floats(int64_t n, uint32_t seed, float sigma = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, sigma);
  std::vector<float> out(static_cast<size_t>(n));
  for (float& x : out) x = normal(random);
  return out;
}

// The rotation y = D2 H D1 x / sqrt(g) by its definition: H[i][j] = (-1)^popcount(i & j).
inline std::vector<double> rotate_reference(const std::vector<double>& x) {
  const size_t g = x.size();
  const RotationSigns& signs = rotation_signs(static_cast<int>(g));
  std::vector<double> y(g, 0.0);
  for (size_t i = 0; i < g; ++i) {
    for (size_t j = 0; j < g; ++j) {
      const double h = __builtin_popcountll(i & j) % 2 == 0 ? 1.0 : -1.0;
      y[i] += h * double{signs.d1[j]} * x[j];
    }
    y[i] *= double{signs.d2[i]} / std::sqrt(static_cast<double>(g));
  }
  return y;
}

// The inverse: the same with the sign vectors exchanged.
inline std::vector<double> unrotate_reference(const std::vector<double>& y) {
  const size_t g = y.size();
  const RotationSigns& signs = rotation_signs(static_cast<int>(g));
  std::vector<double> x(g, 0.0);
  for (size_t i = 0; i < g; ++i) {
    for (size_t j = 0; j < g; ++j) {
      const double h = __builtin_popcountll(i & j) % 2 == 0 ? 1.0 : -1.0;
      x[i] += h * double{signs.d2[j]} * y[j];
    }
    x[i] *= double{signs.d1[i]} / std::sqrt(static_cast<double>(g));
  }
  return x;
}

// A random weight matrix, its encoding and what that decodes to in the plain basis, in double.
struct TestWeight {
  std::vector<uint8_t> codes;
  std::vector<uint16_t> gains;
  WeightView view;
  std::vector<double> dense;  // [rows, in]
};

inline TestWeight make_weight(const FormatTraits& format, int64_t rows, int64_t in, uint32_t seed) {
  TestWeight weight;
  WeightView& view = weight.view;
  view = weight_shape(format, rows, in);
  weight.codes.resize(static_cast<size_t>(rows * format.code_row_bytes(view.in_padded)));
  weight.gains.resize(static_cast<size_t>(rows * view.gains_per_row()));
  view.codes = weight.codes.data();
  view.gains = format.has_scales ? weight.gains.data() : nullptr;
  for (int64_t r = 0; r < rows; ++r) {
    std::vector<float> row =
        random_floats(in, seed + static_cast<uint32_t>(r), 0.02f * static_cast<float>(1 + r % 3));
    row.resize(static_cast<size_t>(view.in_padded));
    std::vector<float> gains(static_cast<size_t>(view.gains_per_row()) + 1);
    format.encode_rows(row.data(), view.in_padded, view.group, {Effort::kFast},
                       weight.codes.data() + r * view.code_row_bytes(), gains.data());
    for (int64_t g = 0; g < view.gains_per_row(); ++g) {
      weight.gains[static_cast<size_t>(r * view.gains_per_row() + g)] =
          f32_to_f16(gains[static_cast<size_t>(g)]);
    }
    format.decode_row(view.code_row(r), view.gain_row(r), view.in_padded, view.group, row.data());
    std::vector<double> values(row.begin(), row.end());
    const bool rotated = format.input == InputForm::kRotated;
    for (int64_t i = 0; rotated && i < view.in_padded; i += view.group) {
      const auto first = values.begin() + i;
      const auto plain = unrotate_reference({first, first + view.group});
      std::copy(plain.begin(), plain.end(), first);
    }
    weight.dense.insert(weight.dense.end(), values.begin(), values.begin() + in);
  }
  return weight;
}

inline double norm(const double* x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i] * x[i];
  return std::sqrt(sum);
}
inline double norm(const float* x, int64_t n) {
  const std::vector<double> wide(x, x + n);
  return norm(wide.data(), n);
}

// A test on every instruction set of this machine; the test's name carries the set's.
class IsaTest : public ::testing::TestWithParam<const CpuKernels*> {
 protected:
  static const CpuKernels& kernels() { return *GetParam(); }
};
inline std::vector<const CpuKernels*> all_isas() {
  std::vector<const CpuKernels*> all;
  for (const CpuKernels& kernels : available_kernels()) all.push_back(&kernels);
  return all;
}
inline std::string isa_name(const ::testing::TestParamInfo<const CpuKernels*>& info) {
  return std::string(info.param->name);
}

// A test over every format on every instruction set.
struct IsaAndFormat {
  const CpuKernels* kernels;
  FormatTraits format;
};
class FormatTest : public ::testing::TestWithParam<IsaAndFormat> {
 protected:
  static const CpuKernels& kernels() { return *GetParam().kernels; }
  static const FormatTraits& format() { return GetParam().format; }
};
inline std::vector<IsaAndFormat> isas_and_formats() {
  std::vector<IsaAndFormat> all;
  for (const CpuKernels& kernels : available_kernels()) {
    for (const FormatTraits& format : all_formats()) all.push_back({&kernels, format});
  }
  return all;
}
inline std::vector<IsaAndFormat> isas_and_rotated_formats() {
  std::vector<IsaAndFormat> rotated = isas_and_formats();
  std::erase_if(
      rotated, [](const IsaAndFormat& param) { return param.format.input != InputForm::kRotated; });
  return rotated;
}
inline std::string isa_and_format_name(const ::testing::TestParamInfo<IsaAndFormat>& info) {
  return fmt::format("{}_{}", info.param.kernels->name, info.param.format.name);
}

}  // namespace tq::fixtures
