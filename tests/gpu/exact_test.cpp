// Products of many tokens with fp32 activations that stay fp32 (--exact) against the CPU's: every
// format, numbers of tokens around the tile's 64, mappings of rows, heads and experts.
#include "gpu_testing.h"

namespace tq {
namespace {

using fixtures::cpu;
using fixtures::FormatTest;
using fixtures::OnDevice;
using fixtures::PlacedWeight;
using fixtures::Prepared;
using fixtures::random_floats;
using fixtures::RandomStack;
using fixtures::relative_error;
using fixtures::same_bits;

constexpr double kExactTolerance = 2e-6;

cuda::ProductOptions exact_options() {
  cuda::ProductOptions options;
  options.exact = true;
  return options;
}

class GpuExact : public FormatTest {};

// Groups of 128, 64 and 32, padding, rows that fill no tile.
TEST_P(GpuExact, EqualsTheCpuAndDoesNotDependOnTheBatch) {
  for (const auto& [rows, in] : std::vector<std::pair<int64_t, int64_t>>{
           {1, 128}, {129, 640}, {100, 704}, {33, 2112}, {250, 100}, {48, 96}, {128, 256}}) {
    const PlacedWeight weight(GetParam(), rows, in, 3);
    const Prepared x(weight.host, 150, true, 4);
    std::vector<float> expected(static_cast<size_t>(150 * rows));
    cpu(true).matmul({.weight = weight.host, .x = x.host, .out = expected.data()});
    std::vector<float> all;
    for (const int64_t tokens : {150, 129, 128, 65, 64, 63, 17, 16}) {
      Activation some = x.device;
      some.tokens = tokens;
      const auto out = OnDevice<float>::poisoned(tokens * rows);
      cuda::matmul({.weight = weight.device, .x = some, .out = out.get()}, exact_options(),
                   nullptr);
      const std::vector<float> actual = out.read();
      if (all.empty()) all = actual;
      EXPECT_LT(relative_error(actual, {expected.begin(), expected.begin() + tokens * rows}),
                kExactTolerance)
          << rows << " x " << in << ", " << tokens << " tokens";
      EXPECT_TRUE(same_bits(actual, {all.begin(), all.begin() + tokens * rows}))
          << rows << " x " << in << ", " << tokens << " tokens";
    }
  }
}

TEST_P(GpuExact, MapsRowsAddsBiasAndAccumulates) {
  const int64_t rows = 150, in = 384, tokens = 70;
  const PlacedWeight weight(GetParam(), rows, in, 7);
  const Prepared x(weight.host, 100, true, 8);
  const std::vector<float> bias = random_floats(rows, 9), before = random_floats(150 * 160, 10);
  std::vector<int32_t> x_rows(tokens), out_rows(tokens);
  for (int32_t i = 0; i < tokens; ++i) x_rows[i] = (i * 7 + 3) % 100, out_rows[i] = 149 - 2 * i;
  const OnDevice<float> device_bias(bias), out(before);
  const OnDevice<int32_t> device_x_rows(x_rows), device_out_rows(out_rows);
  std::vector<float> expected = before;
  MatmulArgs args{.weight = weight.host,
                  .x = x.host,
                  .bias = bias.data(),
                  .accumulate = true,
                  .out = expected.data(),
                  .out_rows = {out_rows.data()},
                  .out_stride = 160};
  args.x.tokens = tokens;
  args.x.rows = {x_rows.data()};
  cpu(true).matmul(args);
  args.weight = weight.device;
  args.bias = device_bias.get();
  args.x = x.device;
  args.x.tokens = tokens;
  args.x.rows = {device_x_rows.get()};
  args.out = out.get();
  args.out_rows = {device_out_rows.get()};
  cuda::matmul(args, exact_options(), nullptr);
  EXPECT_LT(relative_error(out.read(), expected), kExactTolerance);
}

TEST_P(GpuExact, HeadsEqualTheCpu) {
  const int64_t tokens = 70;
  const RandomStack stack(GetParam(), 5, 40, 192, 11);
  const Prepared x(stack.weights[0]->host, tokens * 5, true, 12);
  std::vector<float> expected(static_cast<size_t>(tokens * 5 * 50), 7.0f);
  const OnDevice<float> out(expected);
  cpu(true).matmul_heads(
      {.weights = stack.host(), .x = x.host, .out = expected.data(), .out_stride = 50});
  cuda::matmul_heads({.weights = stack.device(), .x = x.device, .out = out.get(), .out_stride = 50},
                     exact_options(), nullptr);
  EXPECT_LT(relative_error(out.read(), expected), kExactTolerance);
}

TEST_P(GpuExact, ExpertsEqualTheCpu) {
  const RandomStack stack(GetParam(), 7, 140, 192, 13);
  const std::vector<int32_t> begin = {0, 150, 151, 151, 215, 280, 409, 449};
  const int64_t pairs = begin.back();
  std::vector<int32_t> rows(static_cast<size_t>(pairs));
  for (int32_t i = 0; i < pairs; ++i) rows[static_cast<size_t>(i)] = (i * 5 + 1) % 23;
  const OnDevice<int32_t> device_begin(begin), device_rows(rows);
  const Prepared x(stack.weights[0]->host, 23, true, 14);
  std::vector<float> expected(static_cast<size_t>(pairs * 140));
  cpu(true).matmul_experts({.weights = stack.host(),
                            .x = x.host,
                            .begin = begin.data(),
                            .x_rows = rows.data(),
                            .out = expected.data()});
  const auto out = OnDevice<float>::poisoned(pairs * 140);
  cuda::matmul_experts({.weights = stack.device(),
                        .x = x.device,
                        .begin = device_begin.get(),
                        .x_rows = device_rows.get(),
                        .out = out.get(),
                        .pairs = pairs},
                       exact_options(), nullptr);
  EXPECT_LT(relative_error(out.read(), expected), kExactTolerance);
}

INSTANTIATE_TEST_SUITE_P(Formats, GpuExact, ::testing::ValuesIn(fixtures::formats()),
                         fixtures::format_name);

}  // namespace
}  // namespace tq
