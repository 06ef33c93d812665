// Products on the GPU against the CPU's portable kernels: every format, tier, mapping of rows and
// shape class. Both sides multiply the same int8 activations, so that only the order of fp32 sums
// differs.
#include <array>
#include <numeric>

#include "gpu_testing.h"

namespace tq {
namespace {

using cuda::Tier;
using fixtures::cpu;
using fixtures::FormatTest;
using fixtures::OnDevice;
using fixtures::PlacedWeight;
using fixtures::Prepared;
using fixtures::random_floats;
using fixtures::RandomStack;
using fixtures::relative_error;
using fixtures::same_bits;

constexpr double kTolerance = 2e-6;

std::vector<float> on_cpu(const PlacedWeight& weight, const Prepared& x, bool exact) {
  std::vector<float> out(static_cast<size_t>(x.host.tokens * weight.host.rows));
  cpu(exact).matmul({.weight = weight.host, .x = x.host, .out = out.data()});
  return out;
}
std::vector<float> on_gpu(const PlacedWeight& weight, const Activation& x,
                          const cuda::ProductOptions& options) {
  const auto out = OnDevice<float>::poisoned(x.tokens * weight.host.rows);
  cuda::matmul({.weight = weight.device, .x = x, .out = out.get()}, options, nullptr);
  return out.read();
}

class GpuMatmul : public FormatTest {};

// Groups of 128, 64 (odd counts too) and 32, padding, rows that fill no tile, one and many slices.
TEST_P(GpuMatmul, EqualsTheCpu) {
  const std::vector<std::pair<int64_t, int64_t>> shapes = {
      {1, 128}, {16, 256}, {17, 640}, {100, 704}, {33, 2112}, {250, 100}, {48, 96}, {2000, 1408}};
  for (const auto& [rows, in] : shapes) {
    const PlacedWeight weight(GetParam(), rows, in, 3);
    for (const int64_t tokens : {1, 2, 7, 8, 9, 24, 33, 64, 150, 260}) {
      if (rows * tokens > 50000 && tokens < 64) continue;
      for (const bool exact : {false, true}) {
        if (exact && (GetParam().input == InputForm::kPlain || tokens > 9)) continue;
        const Prepared x(weight.host, tokens, exact, 4);
        const std::vector<float> expected = on_cpu(weight, x, exact);
        for (const Tier tier : {Tier::kAuto, Tier::kReference}) {
          if (tier == Tier::kReference && tokens > 33) continue;
          EXPECT_LT(relative_error(on_gpu(weight, x.device, tier), expected), kTolerance)
              << rows << " x " << in << ", " << tokens << " tokens, exact " << exact << ", tier "
              << static_cast<int>(tier);
        }
      }
    }
  }
}

TEST_P(GpuMatmul, BitsDoNotDependOnTheBatch) {
  cuda::ProductOptions options;
  options.batch_invariant = GetParam().input == InputForm::kPlain;  // codes: in any case
  for (const auto& [rows, in] : std::vector<std::pair<int64_t, int64_t>>{
           {70, 1408}, {4000, 704}, {20000, 256}, {8192, 1280}}) {
    const PlacedWeight weight(GetParam(), rows, in, 5);
    const Prepared x(weight.host, 300, false, 6);
    const std::vector<float> all = on_gpu(weight, x.device, options);
    for (const int64_t tokens : {1, 3, 8, 9, 16, 32, 33, 64, 65, 129, 200}) {
      Activation some = x.device;
      some.tokens = tokens;
      std::vector<float> first(all.begin(), all.begin() + tokens * rows);
      EXPECT_TRUE(same_bits(on_gpu(weight, some, options), first))
          << rows << " x " << in << ", " << tokens << " tokens";
    }
  }
}

TEST_P(GpuMatmul, MapsRowsAddsBiasAndAccumulates) {
  const int64_t rows = 50, in = 384, tokens = 11;
  const PlacedWeight weight(GetParam(), rows, in, 7);
  const Prepared x(weight.host, 40, false, 8);
  const std::vector<float> bias = random_floats(rows, 9);
  const std::vector<float> before = random_floats(40 * 60, 10);
  std::vector<int32_t> x_rows(tokens), out_rows(tokens);
  for (int32_t i = 0; i < tokens; ++i) x_rows[i] = (i * 7 + 3) % 40, out_rows[i] = 39 - 2 * i;
  const OnDevice<float> device_bias(bias);
  const OnDevice<int32_t> device_x_rows(x_rows), device_out_rows(out_rows);
  for (const bool listed : {true, false}) {
    for (const bool accumulate : {true, false}) {
      std::vector<float> expected = before;
      MatmulArgs args{.weight = weight.host,
                      .x = x.host,
                      .bias = bias.data(),
                      .accumulate = accumulate,
                      .out = expected.data(),
                      .out_stride = 60};
      args.x.tokens = tokens;
      args.x.rows = listed ? RowMap{x_rows.data()} : RowMap{nullptr, 2, 3};
      args.out_rows = listed ? RowMap{out_rows.data()} : RowMap{nullptr, 1, 2};
      cpu(false).matmul(args);
      args.weight = weight.device;
      args.bias = device_bias.get();
      const RowMap x_map = args.x.rows;
      args.x = x.device;
      args.x.tokens = tokens;
      args.x.rows = listed ? RowMap{device_x_rows.get()} : x_map;
      if (listed) args.out_rows = RowMap{device_out_rows.get()};
      for (const Tier tier : {Tier::kAuto, Tier::kReference}) {
        const OnDevice<float> out(before);
        args.out = out.get();
        cuda::matmul(args, tier, nullptr);
        EXPECT_LT(relative_error(out.read(), expected), kTolerance) << listed << accumulate;
      }
    }
  }
}

TEST_P(GpuMatmul, HeadsEqualTheCpu) {
  for (const int64_t tokens : {1, 5, 70}) {
    const RandomStack stack(GetParam(), 5, 40, 192, 11);
    const Prepared x(stack.weights[0]->host, tokens * 5, false, 12);
    std::vector<float> expected(static_cast<size_t>(tokens * 5 * 50), 7.0f);
    cpu(false).matmul_heads(
        {.weights = stack.host(), .x = x.host, .out = expected.data(), .out_stride = 50});
    for (const Tier tier : {Tier::kAuto, Tier::kReference}) {
      const OnDevice<float> out(std::vector<float>(expected.size(), 7.0f));
      cuda::matmul_heads(
          {.weights = stack.device(), .x = x.device, .out = out.get(), .out_stride = 50}, tier,
          nullptr);
      EXPECT_LT(relative_error(out.read(), expected), kTolerance) << tokens;
    }
  }
}

// How many pairs every expert has.
std::vector<std::vector<int>> expert_loads() {
  return {{1, 0, 0, 0, 0, 0, 0},       {0, 0, 0, 0, 0, 0, 3}, {2, 1, 1, 5, 0, 1, 9},
          {0, 70, 0, 0, 0, 0, 0},      {8, 8, 8, 8, 8, 8, 8}, {0, 17, 64, 65, 0, 130, 1},
          {150, 1, 0, 64, 65, 129, 40}};
}

TEST_P(GpuMatmul, ExpertsEqualTheCpu) {
  for (const int64_t in : {256, 192}) {
    const RandomStack stack(GetParam(), 7, 88, in, 13);
    for (const std::vector<int>& load : expert_loads()) {
      std::vector<int32_t> begin = {0};
      for (const int n : load) begin.push_back(begin.back() + n);
      const int64_t pairs = begin.back();
      std::vector<int32_t> rows(static_cast<size_t>(pairs));
      for (int32_t i = 0; i < pairs; ++i) rows[static_cast<size_t>(i)] = (i * 5 + 1) % 23;
      const OnDevice<int32_t> device_begin(begin), device_rows(rows);
      for (const bool gathered : {true, false}) {
        const Prepared x(stack.weights[0]->host, gathered ? 23 : pairs, false, 14);
        std::vector<float> expected(static_cast<size_t>(pairs * 88));
        cpu(false).matmul_experts({.weights = stack.host(),
                                   .x = x.host,
                                   .begin = begin.data(),
                                   .x_rows = gathered ? rows.data() : nullptr,
                                   .out = expected.data()});
        for (const Tier tier : {Tier::kAuto, Tier::kReference}) {
          const auto out = OnDevice<float>::poisoned(pairs * 88);
          cuda::matmul_experts({.weights = stack.device(),
                                .x = x.device,
                                .begin = device_begin.get(),
                                .x_rows = gathered ? device_rows.get() : nullptr,
                                .out = out.get(),
                                .pairs = pairs},
                               tier, nullptr);
          EXPECT_LT(relative_error(out.read(), expected), kTolerance)
              << "in " << in << ", pairs " << pairs << ", gathered " << gathered;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, GpuMatmul, ::testing::ValuesIn(fixtures::formats()),
                         fixtures::format_name);

class GpuFused : public FormatTest {};

TEST_P(GpuFused, PartsEqualSingleProducts) {
  const PlacedWeight q(GetParam(), 4000, 512, 20), k(GetParam(), 50, 512, 21),
      v(GetParam(), 64, 512, 22);
  for (const int64_t tokens : {1, 9, 40, 136}) {
    const Prepared x(q.host, tokens, false, 23);
    const std::vector<float> bias = random_floats(50, 24);
    const OnDevice<float> device_bias(bias);
    const auto q_out = OnDevice<float>::poisoned(tokens * 4000);
    const auto k_out = OnDevice<float>::poisoned(tokens * 50);
    const auto v_out = OnDevice<float>::poisoned(tokens * 64);
    const std::array<MatmulArgs, 3> products{
        {{.weight = q.device, .x = x.device, .out = q_out.get()},
         {.weight = k.device, .x = x.device, .bias = device_bias.get(), .out = k_out.get()},
         {.weight = v.device, .x = x.device, .out = v_out.get()}}};
    ASSERT_TRUE(cuda::supports_shared(products));
    cuda::matmul_shared(products, nullptr);
    std::vector<float> k_expected = on_cpu(k, x, false);
    for (size_t i = 0; i < k_expected.size(); ++i) k_expected[i] += bias[i % 50];
    EXPECT_LT(relative_error(q_out.read(), on_cpu(q, x, false)), kTolerance);
    EXPECT_LT(relative_error(k_out.read(), k_expected), kTolerance);
    EXPECT_LT(relative_error(v_out.read(), on_cpu(v, x, false)), kTolerance);
  }
}

TEST_P(GpuFused, GatedExpertsEqualTheCpu) {
  for (const int64_t in : {256, 448}) {
    const RandomStack gate(GetParam(), 7, 88, in, 30), up(GetParam(), 7, 88, in, 40);
    for (const std::vector<int>& load : expert_loads()) {
      std::vector<int32_t> begin = {0};
      for (const int n : load) begin.push_back(begin.back() + n);
      const int64_t pairs = begin.back();
      std::vector<int32_t> rows(static_cast<size_t>(pairs));
      for (int32_t i = 0; i < pairs; ++i) rows[static_cast<size_t>(i)] = (i * 5 + 1) % 23;
      const OnDevice<int32_t> device_begin(begin), device_rows(rows);
      const Prepared x(gate.weights[0]->host, 23, false, 31);
      std::vector<float> gates(static_cast<size_t>(pairs * 88)), ups(gates.size());
      cpu(false).matmul_experts({gate.host(), x.host, begin.data(), rows.data(), gates.data()});
      cpu(false).matmul_experts({up.host(), x.host, begin.data(), rows.data(), ups.data()});
      for (const Activate kind : {Activate::kSilu, Activate::kGeluTanh, Activate::kGelu}) {
        std::vector<float> expected(gates.size());
        cpu(false).glu({kind, gates.data(), ups.data(), pairs * 88, expected.data()});
        const auto out = OnDevice<float>::poisoned(pairs * 88);
        const GatedExpertsArgs args{
            gate.device(), up.device(), x.device, device_begin.get(), device_rows.get(), pairs,
            kind,          out.get(),   nullptr};
        ASSERT_TRUE(cuda::supports_gated(args));
        cuda::matmul_gated_experts(args, Tier::kAuto, nullptr);
        EXPECT_LT(relative_error(out.read(), expected), kTolerance) << in << " " << pairs;
      }
    }
  }
}

TEST_P(GpuFused, GatedDenseLayerEqualsTheCpu) {
  const int64_t rows = 1700;
  const RandomStack gate(GetParam(), 1, rows, 704, 50), up(GetParam(), 1, rows, 704, 51);
  for (const int64_t tokens : {1, 12, 90, 136}) {
    const Prepared x(gate.weights[0]->host, tokens, false, 52);
    std::vector<float> gates = on_cpu(*gate.weights[0], x, false);
    const std::vector<float> ups = on_cpu(*up.weights[0], x, false);
    cpu(false).glu({Activate::kSilu, gates.data(), ups.data(), tokens * rows, gates.data()});
    const auto out = OnDevice<float>::poisoned(tokens * rows);
    cuda::matmul_gated_experts({gate.device(), up.device(), x.device, nullptr, nullptr, tokens,
                                Activate::kSilu, out.get(), nullptr},
                               Tier::kAuto, nullptr);
    EXPECT_LT(relative_error(out.read(), gates), kTolerance) << tokens;
  }
}

// Rows that are left to the product give the bits of those that were prepared before, whichever
// kernel takes them.
TEST_P(GpuFused, PreparesItsOwnInput) {
  for (const int64_t in : {100, 192, 704, 1536}) {
    const RandomStack stack(GetParam(), 5, 88, in, 60);
    const WeightView& weight = stack.weights[0]->host;
    const int64_t stride = in + 12;
    for (const int64_t tokens : {1, 3, 8, 9, 30}) {
      const OnDevice<float> rows(random_floats(tokens * 5 * stride, 61));
      const auto storage = OnDevice<uint8_t>::poisoned(static_cast<int64_t>(cuda::activation_bytes(
          tokens * 5, weight.in_padded, weight.group, InputForm::kRotated, false)));
      const auto later_storage = OnDevice<uint8_t>::poisoned(storage.read().size());
      PrepareArgs args{rows.get(),   tokens * 5,          in,           weight.in_padded,
                       weight.group, InputForm::kRotated, storage.get()};
      const Activation now = cuda::prepare_strided(args, stride, false, nullptr);
      args.storage = later_storage.get();
      const Activation later = cuda::prepare_later(args, stride);
      const auto heads = [&](const Activation& x, Tier tier) {
        const auto out = OnDevice<float>::poisoned(tokens * 5 * 88);
        cuda::matmul_heads({.weights = stack.device(), .x = x, .out = out.get()}, tier, nullptr);
        return out.read();
      };
      for (const Tier tier : {Tier::kAuto, Tier::kReference}) {
        EXPECT_TRUE(same_bits(heads(later, tier), heads(now, tier))) << in << " " << tokens;
      }
      std::vector<int32_t> begin = {0,
                                    static_cast<int32_t>(tokens),
                                    static_cast<int32_t>(tokens),
                                    static_cast<int32_t>(2 * tokens),
                                    static_cast<int32_t>(2 * tokens),
                                    static_cast<int32_t>(5 * tokens)};
      const OnDevice<int32_t> device_begin(begin);
      const auto experts = [&](const Activation& x) {
        const auto out = OnDevice<float>::poisoned(tokens * 5 * 88);
        cuda::matmul_experts({.weights = stack.device(),
                              .x = x,
                              .begin = device_begin.get(),
                              .x_rows = nullptr,
                              .out = out.get(),
                              .pairs = tokens * 5},
                             Tier::kAuto, nullptr);
        return out.read();
      };
      EXPECT_TRUE(same_bits(experts(later), experts(now))) << in << " " << tokens;
    }
  }
}

// The same of rows that attention left in parts.
TEST_P(GpuFused, MergesThePartsOfItsInput) {
  const int64_t heads = 5, in = 256;
  const RandomStack stack(GetParam(), heads, 88, in, 62);
  const WeightView& weight = stack.weights[0]->host;
  for (const int64_t tokens : {1, 4, 12}) {
    for (const int n_parts : {1, 3, 17}) {
      const int64_t rows = tokens * heads;
      const OnDevice<float> values(random_floats(rows * n_parts * in, 63));
      std::vector<float> stats = random_floats(rows * n_parts * 2, 64);
      for (size_t i = 1; i < stats.size(); i += 2) stats[i] = 1 + std::fabs(stats[i]);
      if (n_parts > 1) stats[0] = -INFINITY, stats[1] = 0;  // a part without keys
      const OnDevice<float> device_stats(stats);
      const auto storage = OnDevice<uint8_t>::poisoned(static_cast<int64_t>(cuda::activation_bytes(
          rows, weight.in_padded, weight.group, InputForm::kRotated, false)));
      Activation later = cuda::prepare_later({values.get(), rows, in, weight.in_padded,
                                              weight.group, InputForm::kRotated, storage.get()},
                                             in);
      later.part_stats = device_stats.get();
      later.n_parts = n_parts;
      const auto product = [&](const Activation& x, Tier tier) {
        const auto out = OnDevice<float>::poisoned(rows * 88);
        cuda::matmul_heads({.weights = stack.device(), .x = x, .out = out.get()}, tier, nullptr);
        return out.read();
      };
      // The reference kernel has the rows prepared before it.
      EXPECT_LT(relative_error(product(later, Tier::kAuto), product(later, Tier::kReference)),
                kTolerance)
          << tokens << " " << n_parts;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, GpuFused, ::testing::ValuesIn(fixtures::rotated_formats()),
                         fixtures::format_name);

}  // namespace
}  // namespace tq
