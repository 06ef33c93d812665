// Every format's matmul against double precision, over odd shapes.
#include <gtest/gtest.h>

#include <cstring>

#include "kernels/cpu/kernels.h"
#include "testing.h"

namespace tq {
namespace {

using testing::FormatTest;
using testing::make_weight;
using testing::norm;
using testing::random_floats;
using testing::TestWeight;

// Activations in every form a kernel may ask for.
struct Inputs {
  std::vector<float> plain;    // [tokens, in]
  std::vector<float> rotated;  // [tokens, in_padded]
  std::vector<int8_t> q8;
  std::vector<float> q8_scale;
  Activation exact;
  Activation quantized;
};

Inputs make_inputs(const WeightView& weight, int64_t tokens, uint32_t seed) {
  Inputs x;
  x.plain = random_floats(tokens * weight.in, seed);
  x.exact = {weight.traits().input, tokens, weight.in, weight.in_padded, weight.group};
  x.exact.f32 = x.plain.data();
  if (weight.traits().input == InputForm::kPlain) return x;
  const auto size = static_cast<size_t>(tokens * weight.in_padded);
  x.rotated.resize(size);
  x.q8.resize(size);
  x.q8_scale.resize(size / static_cast<size_t>(weight.group));
  const RotateArgs rotate{x.plain.data(),   weight.in,   weight.in_padded, weight.group,
                          x.rotated.data(), x.q8.data(), x.q8_scale.data()};
  generic_kernels().rotate(rotate, 0, tokens);
  generic_kernels().rotate_quantize(rotate, 0, tokens);
  x.quantized = x.exact;
  x.exact.f32 = x.rotated.data();
  x.quantized.f32 = nullptr;
  x.quantized.q8 = x.q8.data();
  x.quantized.q8_scale = x.q8_scale.data();
  return x;
}

CpuKernel<MatmulArgs> exact_kernel(const WeightView& weight) {
  return generic_kernels().matmul_f32[static_cast<size_t>(weight.format)];
}
CpuKernel<MatmulArgs> integer_kernel(const WeightView& weight) {
  return generic_kernels().matmul_i8[static_cast<size_t>(weight.format)];
}

double product(const TestWeight& weight, const Inputs& x, int64_t t, int64_t r) {
  const int64_t in = weight.view.in;
  double sum = 0;
  for (int64_t i = 0; i < in; ++i) {
    sum += weight.dense[static_cast<size_t>(r * in + i)] *
           double{x.plain[static_cast<size_t>(t * in + i)]};
  }
  return sum;
}

class Matmul : public FormatTest {};

TEST_P(Matmul, ExactProductsMatchDoublePrecision) {
  // Groups of 128 (twice over a block boundary), 64, 32, and rows that need padding.
  for (const int64_t in : {32, 640, 1024, 192, 96, 1056, 100, 700}) {
    const TestWeight weight = make_weight(GetParam(), 17, in, 7);
    const Inputs x = make_inputs(weight.view, 3, 8);
    std::vector<float> out(3 * 17, -1.0f);
    exact_kernel(weight.view)({weight.view, x.exact, nullptr, false, out.data()}, 0, 17);
    for (int64_t t = 0; t < 3; ++t) {
      for (int64_t r = 0; r < 17; ++r) {
        const double tolerance = 1e-6 * norm(&x.plain[static_cast<size_t>(t * in)], in) *
                                 norm(&weight.dense[static_cast<size_t>(r * in)], in);
        EXPECT_NEAR(out[static_cast<size_t>(t * 17 + r)], product(weight, x, t, r), tolerance)
            << "in " << in << " token " << t << " row " << r;
      }
    }
  }
}

TEST_P(Matmul, AnyRangeOfRowsAndAnyBatchGiveTheSameBits) {
  const TestWeight weight = make_weight(GetParam(), 35, 700, 9);
  const Inputs x = make_inputs(weight.view, 33, 10);
  const auto check = [&](CpuKernel<MatmulArgs> kernel, Activation activation) {
    std::vector<float> all(33 * 35);
    kernel({weight.view, activation, nullptr, false, all.data()}, 0, 35);
    for (const int64_t tokens : {1, 2, 3, 16}) {
      for (const int64_t step : {1, 3, 16, 17, 35}) {
        std::vector<float> out(static_cast<size_t>(tokens * 35));
        activation.tokens = tokens;
        for (int64_t row = 0; row < 35; row += step) {
          kernel({weight.view, activation, nullptr, false, out.data()}, row,
                 std::min<int64_t>(35, row + step));
        }
        EXPECT_EQ(std::memcmp(out.data(), all.data(), out.size() * sizeof(float)), 0)
            << tokens << " tokens, " << step << " rows at a time";
      }
    }
  };
  check(exact_kernel(weight.view), x.exact);
  if (x.quantized.q8 != nullptr) check(integer_kernel(weight.view), x.quantized);
}

TEST_P(Matmul, AddsBiasAndAccumulates) {
  const TestWeight weight = make_weight(GetParam(), 5, 1024, 11);  // two blocks of inputs
  const Inputs x = make_inputs(weight.view, 2, 12);
  const std::vector<float> bias = random_floats(5, 13);
  const auto check = [&](CpuKernel<MatmulArgs> kernel, const Activation& activation) {
    std::vector<float> plain(10);
    std::vector<float> biased(10, 100.0f);
    std::vector<float> accumulated(10, 100.0f);
    kernel({weight.view, activation, nullptr, false, plain.data()}, 0, 5);
    kernel({weight.view, activation, bias.data(), false, biased.data()}, 0, 5);
    kernel({weight.view, activation, bias.data(), true, accumulated.data()}, 0, 5);
    for (size_t i = 0; i < 10; ++i) {
      EXPECT_NEAR(biased[i], plain[i] + bias[i % 5], 1e-5);
      EXPECT_NEAR(accumulated[i], 100 + plain[i] + bias[i % 5], 1e-4);
    }
  };
  check(exact_kernel(weight.view), x.exact);
  if (x.quantized.q8 != nullptr) check(integer_kernel(weight.view), x.quantized);
}

class IntegerMatmul : public FormatTest {};

// Int8 activations (and, for 2 to 5 bits, int8 centroids) cost less than 1 % of a random product:
// little beside the error of the codes, 18 % at 3 bits and 9 % at 4.
TEST_P(IntegerMatmul, IsCloseToTheExactProduct) {
  for (const int64_t in : {1024, 576, 96, 700}) {
    const TestWeight weight = make_weight(GetParam(), 64, in, 14);
    const Inputs x = make_inputs(weight.view, 16, 15);
    std::vector<float> exact(64 * 16);
    std::vector<float> quantized(64 * 16);
    exact_kernel(weight.view)({weight.view, x.exact, nullptr, false, exact.data()}, 0, 64);
    integer_kernel(weight.view)({weight.view, x.quantized, nullptr, false, quantized.data()}, 0,
                                64);
    std::vector<float> error(exact.size());
    for (size_t i = 0; i < error.size(); ++i) error[i] = quantized[i] - exact[i];
    const auto n = static_cast<int64_t>(error.size());
    const double relative = norm(error.data(), n) / norm(exact.data(), n);
    EXPECT_LT(relative, 0.01) << "in " << in;
    EXPECT_GT(relative, 1e-4) << "the integer path seems not to be taken";
  }
}

TEST_P(IntegerMatmul, ReadsEveryWeightAtItsPlace) {
  const TestWeight weight = make_weight(GetParam(), 6, 640, 16);
  Inputs x = make_inputs(weight.view, 2, 17);
  // One-hot activations read single weights, first and last of a group and of the row.
  for (const int64_t i : {0, 1, 2, 7, 127, 128, 511, 512, 639}) {
    std::fill(x.q8.begin(), x.q8.end(), int8_t{0});
    std::fill(x.q8_scale.begin(), x.q8_scale.end(), 0.5f);
    x.q8[static_cast<size_t>(i)] = 127;
    x.q8[static_cast<size_t>(640 + i)] = -127;
    std::vector<float> out(12);
    std::vector<float> row(640);
    integer_kernel(weight.view)({weight.view, x.quantized, nullptr, false, out.data()}, 0, 6);
    for (int64_t r = 0; r < 6; ++r) {
      GetParam().decode_row(weight.view.code_row(r), weight.view.gain_row(r), 640, 128, row.data());
      const float gain = f16_to_f32(*(weight.view.gain_row(r) + i / 128));
      // An int8 centroid is within half a unit of its fp32 one: largest centroid / 254.
      const double tolerance = 63.5 * gain * 0.5 / 127;
      const double expected = 63.5 * double{row[static_cast<size_t>(i)]};
      EXPECT_NEAR(out[static_cast<size_t>(r)], expected, tolerance) << "input " << i;
      EXPECT_FLOAT_EQ(out[static_cast<size_t>(6 + r)], -out[static_cast<size_t>(r)]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(AllFormats, Matmul, ::testing::ValuesIn(all_formats()),
                         testing::format_name);
INSTANTIATE_TEST_SUITE_P(RotatedFormats, IntegerMatmul,
                         ::testing::ValuesIn(testing::rotated_formats()), testing::format_name);

}  // namespace
}  // namespace tq
