// Products of Tier::kDequant, by our tensor core kernel and by cuBLASLt, against the CPU's portable
// kernels: every format, group, kind of product and shape class. Errors are those of the 16-bit
// numbers (kernels/cuda/product16.h).
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "gpu_testing.h"
#include "kernels/cuda/weight_formats.h"

namespace tq {
namespace {

using cuda::ProductOptions;
using cuda::Tier;
using fixtures::cpu;
using fixtures::cuda_check;
using fixtures::FormatTest;
using fixtures::OnDevice;
using fixtures::PlacedWeight;
using fixtures::Prepared;
using fixtures::random_floats;
using fixtures::RandomStack;
using fixtures::relative_error;
using fixtures::same_bits;

// The tier with scratch of its own.
class Dequant {
 public:
  explicit Dequant(bool cublaslt) : scratch_(OnDevice<uint8_t>::poisoned(cuda::kProductScratch)) {
    options_.tier = Tier::kDequant;
    options_.cublaslt = cublaslt;
    options_.scratch = scratch_.get();
  }
  ProductOptions& options() { return options_; }

 private:
  OnDevice<uint8_t> scratch_;
  ProductOptions options_;
};

// Without cuBLASLt, and with it where it can be loaded.
std::vector<bool> libraries() {
  static const bool usable = cuda::cublaslt_problem() == nullptr;
  return usable ? std::vector<bool>{false, true} : std::vector<bool>{false};
}

// Of outputs, as ||difference|| / ||expected||.
double tolerance(const FormatTraits& format, bool cublaslt, bool exact) {
  if (format.name == "f32") return 2e-6;
  // Centroids are those of the int8 products: fp32 ones differ up to 5 bits (of windows they do
  // not).
  const int kind = cuda::code_kind(format.id);
  if (exact && kind > 0 && kind <= 5) return 1e-2;
  if (format.name == "bf16") return 2.5e-3;              // activations are rounded
  return format.has_scales && cublaslt ? 3.5e-3 : 4e-4;  // both are
}

std::vector<int> groups_of(const FormatTraits& format) {
  return format.has_scales ? std::vector<int>{32, 64, 128, 256} : std::vector<int>{0};
}

// ||difference|| over the norm that outputs of these weights and activations have if signs are
// random. (Few outputs may be small by chance, and few errors large.)
double error_of(const std::vector<float>& actual, const std::vector<float>& expected,
                const WeightView& weight, const std::vector<float>& x) {
  std::vector<float> row(static_cast<size_t>(weight.in_padded)), scratch(row.size());
  double weights = 0, inputs = 0, error = 0;
  for (int64_t r = 0; r < weight.rows; ++r) {
    decode_row_plain(weight, r, row.data(), scratch.data());
    for (int64_t i = 0; i < weight.in; ++i) {
      weights += double{row[static_cast<size_t>(i)]} * row[static_cast<size_t>(i)];
    }
  }
  for (const float value : x) inputs += double{value} * value;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (!std::isfinite(actual[i])) return 1e9;
    error += (double{actual[i]} - expected[i]) * (double{actual[i]} - expected[i]);
  }
  return std::sqrt(error / (weights * inputs / static_cast<double>(weight.in)));
}

class GpuDequant : public FormatTest {
 protected:
  // The largest error so far as a share of what is allowed, for the report.
  void expect_close(const std::vector<float>& actual, const std::vector<float>& expected,
                    double allowed, const std::string& what) {
    expect_below(relative_error(actual, expected), allowed, what);
  }
  void expect_below(double error, double allowed, const std::string& what) {
    EXPECT_LT(error, allowed) << what;
    largest_share_ = std::max(largest_share_, error / allowed);
  }
  void TearDown() override { RecordProperty("share_of_tolerance", std::to_string(largest_share_)); }

 private:
  double largest_share_ = 0;
};

// Rows that fill no tile or several blocks, inputs that fill no stage, padding, odd lengths.
TEST_P(GpuDequant, EqualsTheCpu) {
  const std::vector<std::pair<int64_t, int64_t>> shapes = {
      {1, 128}, {16, 256}, {17, 640}, {100, 704}, {33, 104}, {250, 100}, {300, 96}, {530, 1408}};
  for (const int group : groups_of(GetParam())) {
    for (const auto& [rows, in] : shapes) {
      const PlacedWeight weight(GetParam(), rows, in, 3, group);
      for (const int64_t tokens : {1, 2, 7, 8, 9, 24, 33, 64, 65, 130, 300}) {
        if (rows * tokens > 20000 && tokens != 64 && tokens != 300) continue;
        for (const bool exact : {false, true}) {
          if (exact && (!GetParam().has_scales || tokens > 9)) continue;
          const Prepared x(weight.host, tokens, exact, 4);
          std::vector<float> expected(static_cast<size_t>(tokens * rows));
          cpu(exact).matmul({.weight = weight.host, .x = x.host, .out = expected.data()});
          for (const bool cublaslt : libraries()) {
            Dequant dequant(cublaslt);
            const auto out = OnDevice<float>::poisoned(tokens * rows);
            cuda::matmul({.weight = weight.device, .x = x.device, .out = out.get()},
                         dequant.options(), nullptr);
            expect_below(error_of(out.read(), expected, weight.host, x.x),
                         (rows * tokens < 64 ? 3 : 1) * tolerance(GetParam(), cublaslt, exact),
                         fmt::format("{} x {} in groups of {}, {} tokens, exact {}, cublaslt {}",
                                     rows, in, group, tokens, exact, cublaslt));
          }
        }
      }
    }
  }
}

TEST_P(GpuDequant, BitsDoNotDependOnTheBatchWithoutCublaslt) {
  Dequant dequant(false);
  ProductOptions options = dequant.options();
  options.batch_invariant = true;
  const int64_t rows = 200;
  for (const int group : groups_of(GetParam())) {
    const PlacedWeight weight(GetParam(), rows, 768, 5, group);
    const Prepared x(weight.host, 150, false, 6);
    const auto run = [&](int64_t tokens) {
      Activation some = x.device;
      some.tokens = tokens;
      const auto out = OnDevice<float>::poisoned(tokens * rows);
      cuda::matmul({.weight = weight.device, .x = some, .out = out.get()}, options, nullptr);
      return out.read();
    };
    const std::vector<float> all = run(150);
    for (const int64_t tokens : {1, 3, 8, 16, 33, 64, 65, 129}) {
      const std::vector<float> first(all.begin(), all.begin() + tokens * rows);
      EXPECT_TRUE(same_bits(run(tokens), first)) << tokens << " tokens, groups of " << group;
    }
  }
}

TEST_P(GpuDequant, MapsRowsAddsBiasAndAccumulates) {
  const int64_t rows = 50, in = 384, tokens = 11;
  const PlacedWeight weight(GetParam(), rows, in, 7);
  const Prepared x(weight.host, 40, false, 8);
  const std::vector<float> bias = random_floats(rows, 9);
  const std::vector<float> before = random_floats(40 * 60, 10);
  std::vector<int32_t> x_rows(tokens), out_rows(tokens);
  for (int32_t i = 0; i < tokens; ++i) x_rows[i] = (i * 7 + 3) % 40, out_rows[i] = 39 - 2 * i;
  const OnDevice<float> device_bias(bias);
  const OnDevice<int32_t> device_x_rows(x_rows), device_out_rows(out_rows);
  for (const int kind : {0, 1, 2, 3, 4, 5, 6, 7}) {
    const bool listed = kind % 2 == 1, accumulate = kind / 2 % 2 == 1, biased = kind / 4 == 1;
    std::vector<float> expected = before;
    MatmulArgs args{.weight = weight.host,
                    .x = x.host,
                    .bias = biased ? bias.data() : nullptr,
                    .accumulate = accumulate,
                    .out = expected.data(),
                    .out_stride = 60};
    args.x.tokens = tokens;
    args.x.rows = listed ? RowMap{x_rows.data()} : RowMap{nullptr, 2, 3};
    args.out_rows = listed ? RowMap{out_rows.data()} : RowMap{nullptr, 1, 2};
    cpu(false).matmul(args);
    args.weight = weight.device;
    args.bias = biased ? device_bias.get() : nullptr;
    const RowMap x_map = args.x.rows;
    args.x = x.device;
    args.x.tokens = tokens;
    args.x.rows = listed ? RowMap{device_x_rows.get()} : x_map;
    if (listed) args.out_rows = RowMap{device_out_rows.get()};
    for (const bool cublaslt : libraries()) {
      Dequant dequant(cublaslt);
      const OnDevice<float> out(before);
      args.out = out.get();
      cuda::matmul(args, dequant.options(), nullptr);
      expect_close(out.read(), expected, tolerance(GetParam(), cublaslt, false),
                   fmt::format("kind {}, cublaslt {}", kind, cublaslt));
    }
  }
}

TEST_P(GpuDequant, HeadsEqualTheCpu) {
  Dequant dequant(false);
  for (const int64_t tokens : {1, 5, 70, 200}) {
    const RandomStack stack(GetParam(), 5, 40, 192, 11);
    const Prepared x(stack.weights[0]->host, tokens * 5, false, 12);
    std::vector<float> expected(static_cast<size_t>(tokens * 5 * 50), 7.0f);
    cpu(false).matmul_heads(
        {.weights = stack.host(), .x = x.host, .out = expected.data(), .out_stride = 50});
    const OnDevice<float> out(std::vector<float>(expected.size(), 7.0f));
    cuda::matmul_heads(
        {.weights = stack.device(), .x = x.device, .out = out.get(), .out_stride = 50},
        dequant.options(), nullptr);
    expect_close(out.read(), expected, tolerance(GetParam(), false, false),
                 fmt::format("{} tokens", tokens));
  }
}

// An experts' product with so many pairs each, whose rows are gathered from `x_rows` or are the
// pairs' own.
struct ExpertCase {
  std::vector<int32_t> begin = {0};
  std::vector<int32_t> rows;
  int64_t pairs = 0;
  int64_t x_rows;

  ExpertCase(const std::vector<int>& load, int64_t gathered_from) : x_rows(gathered_from) {
    for (const int n : load) begin.push_back(begin.back() + n);
    pairs = begin.back();
    for (int64_t i = 0; i < pairs && x_rows > 0; ++i) {
      rows.push_back(static_cast<int32_t>((i * 5 + 1) % x_rows));
    }
    if (x_rows == 0) x_rows = pairs;
  }
  std::vector<float> on_cpu(const RandomStack& stack, const Prepared& x) const {
    std::vector<float> out(static_cast<size_t>(pairs * stack.weights[0]->host.rows));
    cpu(false).matmul_experts({.weights = stack.host(),
                               .x = x.host,
                               .begin = begin.data(),
                               .x_rows = rows.empty() ? nullptr : rows.data(),
                               .out = out.data()});
    return out;
  }
  std::vector<float> on_gpu(const RandomStack& stack, const Prepared& x,
                            const ProductOptions& options) const {
    const OnDevice<int32_t> device_begin(begin), device_rows(rows);
    const auto out = OnDevice<float>::poisoned(pairs * stack.weights[0]->host.rows);
    cuda::matmul_experts({.weights = stack.device(),
                          .x = x.device,
                          .begin = device_begin.get(),
                          .x_rows = rows.empty() ? nullptr : device_rows.get(),
                          .out = out.get(),
                          .pairs = pairs},
                         options, nullptr);
    return out.read();
  }
};

TEST_P(GpuDequant, ExpertsEqualTheCpu) {
  Dequant dequant(false);
  const std::vector<std::vector<int>> loads = {
      {1, 0, 0, 0, 0, 0, 0},        {0, 0, 0, 0, 0, 0, 3},       {2, 1, 1, 5, 0, 1, 9},
      {0, 170, 0, 0, 0, 0, 0},      {8, 8, 8, 8, 8, 8, 8},       {0, 17, 64, 65, 0, 130, 1},
      {300, 0, 128, 129, 1, 0, 63}, {128, 64, 65, 1, 127, 90, 0}};
  for (const int64_t in : {256, 192}) {
    const RandomStack stack(GetParam(), 7, 300, in, 13);
    for (const std::vector<int>& load : loads) {
      for (const int64_t gathered_from : {0, 23}) {
        const ExpertCase experts(load, gathered_from);
        const Prepared x(stack.weights[0]->host, experts.x_rows, false, 14);
        expect_close(experts.on_gpu(stack, x, dequant.options()), experts.on_cpu(stack, x),
                     tolerance(GetParam(), false, false),
                     fmt::format("in {}, {} pairs of {} rows", in, experts.pairs, gathered_from));
      }
    }
  }
}

// Gate and up with their activation by one kernel, where the GPU has it.
TEST_P(GpuDequant, GatedExpertsEqualTheCpu) {
  if (GetParam().input == InputForm::kPlain) return;
  Dequant dequant(false);
  ProductOptions automatic = dequant.options();
  automatic.tier = Tier::kAuto;
  for (const int64_t in : {192, 704, 1280}) {
    const int64_t rows = 300;
    const RandomStack gate(GetParam(), 7, rows, in, 15), up(GetParam(), 7, rows, in, 16);
    for (const std::vector<int>& load : std::vector<std::vector<int>>{
             {300, 0, 128, 129, 1, 0, 63}, {128, 64, 65, 1, 127, 90, 0}}) {
      for (const int64_t gathered_from : {0, 23}) {
        const ExpertCase experts(load, gathered_from);
        const Prepared x(gate.weights[0]->host, experts.x_rows, false, 17);
        std::vector<float> expected = experts.on_cpu(gate, x);
        const std::vector<float> ups = experts.on_cpu(up, x);
        cpu(false).glu({Activate::kGeluTanh, expected.data(), ups.data(), experts.pairs * rows,
                        expected.data()});
        const OnDevice<int32_t> begin(experts.begin), listed(experts.rows);
        const auto out = OnDevice<float>::poisoned(experts.pairs * rows);
        const GatedExpertsArgs args{.gate = gate.device(),
                                    .up = up.device(),
                                    .x = x.device,
                                    .begin = begin.get(),
                                    .x_rows = gathered_from > 0 ? listed.get() : nullptr,
                                    .pairs = experts.pairs,
                                    .activate = Activate::kGeluTanh,
                                    .out = out.get(),
                                    .scratch = nullptr};
        if (!cuda::takes_gated(args, automatic)) {
          // Groups that no kernel takes in one, and GPUs without wgmma.
          ASSERT_FALSE(cuda::supports_gated(args) && cuda::gpu_target().sm90a);
          continue;
        }
        cuda::matmul_gated_experts(args, automatic, nullptr);
        // Errors of both factors, and the activation's slope.
        expect_close(out.read(), expected, 3 * tolerance(GetParam(), false, false),
                     fmt::format("in {}, {} pairs of {} rows", in, experts.pairs, gathered_from));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, GpuDequant, ::testing::ValuesIn(fixtures::formats()),
                         fixtures::format_name);

// More activations and weights than the scratch holds at a time: parts, whose last is smaller.
TEST(GpuDequantParts, EqualTheCpu) {
  for (const char* name : {"tq3", "w7_3", "f16", "bf16"}) {
    const FormatTraits& format = *find_format(name);
    const int64_t in = 4096, tokens = 9000, rows = 8;
    const PlacedWeight weight(format, rows, in, 20);
    const Prepared x(weight.host, tokens, false, 21);
    std::vector<float> expected(static_cast<size_t>(tokens * rows));
    cpu(false).matmul({.weight = weight.host, .x = x.host, .out = expected.data()});
    for (const bool cublaslt : libraries()) {
      Dequant dequant(cublaslt);
      const auto out = OnDevice<float>::poisoned(tokens * rows);
      cuda::matmul({.weight = weight.device, .x = x.device, .out = out.get()}, dequant.options(),
                   nullptr);
      EXPECT_LT(relative_error(out.read(), expected), tolerance(format, cublaslt, false)) << name;
    }
    Dequant dequant(false);
    const RandomStack stack(format, 3, rows, in, 22);
    expected.assign(expected.size(), 0);
    cpu(false).matmul_heads({.weights = stack.host(), .x = x.host, .out = expected.data()});
    const auto out = OnDevice<float>::poisoned(tokens * rows);
    cuda::matmul_heads({.weights = stack.device(), .x = x.device, .out = out.get()},
                       dequant.options(), nullptr);
    EXPECT_LT(relative_error(out.read(), expected), tolerance(format, false, false)) << name;
    for (const int64_t gathered_from : {0, 8900}) {
      const ExpertCase experts({4000, 0, 5000}, gathered_from);
      EXPECT_LT(
          relative_error(experts.on_gpu(stack, x, dequant.options()), experts.on_cpu(stack, x)),
          tolerance(format, false, false))
          << name << " " << gathered_from;
    }
  }
}

TEST(GpuDequantParts, LargeWeightsEqualTheCpu) {
  const FormatTraits& format = *find_format("tq4");
  const int64_t in = 4096, rows = 5000, tokens = 3;  // 41 MB of bf16
  const PlacedWeight weight(format, rows, in, 25);
  const Prepared x(weight.host, tokens, false, 26);
  std::vector<float> expected(static_cast<size_t>(tokens * rows));
  cpu(false).matmul({.weight = weight.host, .x = x.host, .out = expected.data()});
  for (const bool cublaslt : libraries()) {
    Dequant dequant(cublaslt);
    const auto out = OnDevice<float>::poisoned(tokens * rows);
    cuda::matmul({.weight = weight.device, .x = x.device, .out = out.get()}, dequant.options(),
                 nullptr);
    EXPECT_LT(relative_error(out.read(), expected), tolerance(format, cublaslt, false));
  }
}

// Activations far beyond what f16 holds, tiny ones, rows of zeros, and what is not finite.
TEST(GpuDequantRange, ActivationsOfAnySize) {
  Dequant dequant(false);
  for (const char* name : {"f16", "bf16", "tq3", "tq8"}) {
    const FormatTraits& format = *find_format(name);
    const int64_t rows = 40, in = 256;
    const PlacedWeight weight(format, rows, in, 30);
    std::vector<float> values = random_floats(6 * in, 31);
    const float scales[] = {1e9f, 1e-9f, 0.0f, 1.0f, 1.0f, 1e30f};
    for (int64_t i = 0; i < 6 * in; ++i) values[static_cast<size_t>(i)] *= scales[i / in];
    values[3 * in + 7] = std::numeric_limits<float>::quiet_NaN();
    values[4 * in + 9] = std::numeric_limits<float>::infinity();
    const bool exact = true;  // fp32 activations, so that what is not finite gets through
    const OnDevice<float> device_values(values);
    const auto storage = OnDevice<uint8_t>::poisoned(static_cast<int64_t>(std::max<size_t>(
        cuda::activation_bytes(6, in, weight.host.group, format.input, exact), 1)));
    const Activation x = cuda::prepare(
        {device_values.get(), 6, in, in, weight.host.group, format.input, storage.get()}, exact,
        nullptr);
    const auto out = OnDevice<float>::poisoned(6 * rows);
    cuda::matmul({.weight = weight.device, .x = x, .out = out.get()}, dequant.options(), nullptr);
    const std::vector<float> actual = out.read();
    std::vector<uint8_t> host_storage(
        cpu(exact).activation_bytes(6, in, weight.host.group, format.input) + 64);
    const Activation host = cpu(exact).prepare(
        {values.data(), 6, in, in, weight.host.group, format.input, host_storage.data()});
    std::vector<float> expected(actual.size());
    cpu(exact).matmul({.weight = weight.host, .x = host, .out = expected.data()});
    for (const int64_t row : {0, 1, 2, 5}) {
      const auto of = [&](const std::vector<float>& all) {
        return std::vector<float>(all.begin() + row * rows, all.begin() + (row + 1) * rows);
      };
      if (row == 2) {
        EXPECT_EQ(of(actual), std::vector<float>(static_cast<size_t>(rows))) << name;
      } else {
        EXPECT_LT(relative_error(of(actual), of(expected)), tolerance(format, false, true))
            << name << " row " << row;
      }
    }
    for (const int64_t row : {3, 4}) {
      for (int64_t r = 0; r < rows; ++r) {
        EXPECT_FALSE(std::isfinite(actual[static_cast<size_t>(row * rows + r)])) << name << row;
      }
    }
  }
}

// A recorded product computes with what its inputs hold when it is replayed.
TEST(GpuDequantGraph, ReplaysWithNewInputs) {
  cudaStream_t stream = nullptr;
  cuda_check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  for (const char* name : {"tq3", "bf16", "f32"}) {
    const FormatTraits& format = *find_format(name);
    const int64_t rows = 600, in = 512, tokens = 40;
    const PlacedWeight weight(format, rows, in, 40);
    const RandomStack stack(format, 4, rows, in, 41);
    const Prepared first(weight.host, tokens, false, 42), second(weight.host, tokens, false, 43);
    const std::vector<int32_t> begin = {0, 10, 10, 39, 40};
    const OnDevice<int32_t> device_begin(begin);
    for (const bool cublaslt : libraries()) {
      Dequant dequant(cublaslt);
      const auto dense = OnDevice<float>::poisoned(tokens * rows);
      const auto experts = OnDevice<float>::poisoned(tokens * rows);
      const auto run = [&](const Activation& x) {
        cuda::matmul({.weight = weight.device, .x = x, .out = dense.get()}, dequant.options(),
                     stream);
        cuda::matmul_experts({.weights = stack.device(),
                              .x = x,
                              .begin = device_begin.get(),
                              .x_rows = nullptr,
                              .out = experts.get(),
                              .pairs = tokens},
                             dequant.options(), stream);
      };
      run(second.device);
      cuda_check(cudaStreamSynchronize(stream));
      const std::vector<float> dense_expected = dense.read(), experts_expected = experts.read();
      run(first.device);
      cudaGraph_t graph = nullptr;
      cudaGraphExec_t replay = nullptr;
      cuda_check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
      run(first.device);
      cuda_check(cudaStreamEndCapture(stream, &graph));
      cuda_check(cudaGraphInstantiate(&replay, graph, 0));
      // The first's memory now holds the second's values.
      if (format.has_scales) {
        cuda_check(
            cudaMemcpy(first.device_storage.get(), second.device_storage.get(),
                       cuda::activation_bytes(tokens, in, weight.host.group, format.input, false),
                       cudaMemcpyDeviceToDevice));
      } else {
        cuda_check(cudaMemcpy(first.device_x.get(), second.device_x.get(),
                              static_cast<size_t>(tokens * in) * sizeof(float),
                              cudaMemcpyDeviceToDevice));
      }
      cuda_check(cudaGraphLaunch(replay, stream));
      cuda_check(cudaStreamSynchronize(stream));
      EXPECT_TRUE(same_bits(dense.read(), dense_expected)) << name << cublaslt;
      EXPECT_TRUE(same_bits(experts.read(), experts_expected)) << name << cublaslt;
      // For the next round.
      const Prepared again(weight.host, tokens, false, 42);
      cuda_check(cudaMemcpy(first.device_x.get(), again.device_x.get(),
                            static_cast<size_t>(tokens * in) * sizeof(float),
                            cudaMemcpyDeviceToDevice));
      if (format.has_scales) {
        cuda_check(
            cudaMemcpy(first.device_storage.get(), again.device_storage.get(),
                       cuda::activation_bytes(tokens, in, weight.host.group, format.input, false),
                       cudaMemcpyDeviceToDevice));
      }
      cuda_check(cudaGraphExecDestroy(replay));
      cuda_check(cudaGraphDestroy(graph));
    }
  }
  cuda_check(cudaStreamDestroy(stream));
}

// kAuto: large matrices with many tokens take the tier, all else what it took before.
TEST(GpuDequantAuto, TakesTheTierForManyTokens) {
  Dequant tier(false);
  ProductOptions automatic = tier.options();
  automatic.tier = Tier::kAuto;
  const PlacedWeight weight(*find_format("bf16"), 600, 512, 50);
  for (const int64_t tokens : {1, 300}) {
    const Prepared x(weight.host, tokens, false, 51);
    const auto run = [&](const ProductOptions& options) {
      const auto out = OnDevice<float>::poisoned(tokens * 600);
      cuda::matmul({.weight = weight.device, .x = x.device, .out = out.get()}, options, nullptr);
      return out.read();
    };
    const std::vector<float> chosen = run(automatic);
    EXPECT_EQ(same_bits(chosen, run(tier.options())), tokens == 300);
    EXPECT_EQ(same_bits(chosen, run(Tier::kReference)), tokens == 1);
    automatic.batch_invariant = true;
    EXPECT_TRUE(same_bits(run(automatic), run(Tier::kReference)));
    automatic.batch_invariant = false;
    automatic.exact = true;  // many tokens: another order of sums, nothing rounded
    EXPECT_EQ(same_bits(run(automatic), run(Tier::kReference)), tokens == 1);
    EXPECT_LT(relative_error(run(automatic), run(Tier::kReference)), 2e-6);
    automatic.exact = false;
  }
}

TEST(GpuDequantAuto, TakesTheTierForExpertsWithManyTokens) {
  Dequant tier(false);
  ProductOptions automatic = tier.options();
  automatic.tier = Tier::kAuto;
  for (const char* name : {"tq3", "bf16"}) {
    const RandomStack stack(*find_format(name), 3, 600, 512, 54);
    for (const int each : {1, 60}) {
      const ExpertCase experts({each, each, each}, 0);
      const Prepared x(stack.weights[0]->host, experts.pairs, false, 55);
      const auto run = [&](const ProductOptions& options) {
        return experts.on_gpu(stack, x, options);
      };
      const std::vector<float> chosen = run(automatic);
      const Tier other = stack.weights[0]->host.group > 0 ? Tier::kFused : Tier::kReference;
      EXPECT_EQ(same_bits(chosen, run(tier.options())), each == 60) << name;
      EXPECT_EQ(same_bits(chosen, run(other)), each == 1) << name;
      automatic.batch_invariant = true;
      EXPECT_TRUE(same_bits(run(automatic), run(other))) << name;
      automatic.batch_invariant = false;
    }
  }
}

TEST(GpuDequantAuto, ForcedWithoutScratchIsAnError) {
  const PlacedWeight weight(*find_format("tq3"), 16, 128, 52);
  const Prepared x(weight.host, 1, false, 53);
  const auto out = OnDevice<float>::poisoned(16);
  EXPECT_THROW(cuda::matmul({.weight = weight.device, .x = x.device, .out = out.get()},
                            Tier::kDequant, nullptr),
               Error);
}

}  // namespace
}  // namespace tq
