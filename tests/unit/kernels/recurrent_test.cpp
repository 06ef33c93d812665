// Layers that keep a state, against their definitions in double: over shapes that are no multiple
// of a vector, ragged batches, and sequences cut into steps.
#include "support/recurrent.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "testing.h"

namespace tq {
namespace {

using fixtures::DeltaCase;
using fixtures::RaggedStates;
using fixtures::random_floats;

constexpr float kNotANumber = std::numeric_limits<float>::quiet_NaN();

double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }

class Recurrent : public fixtures::IsaTest {
 protected:
  // All channels of a step, in parts that begin and end anywhere.
  static void convolve(const ShortConvArgs& args) {
    const int64_t middle = args.dim / 3;
    kernels().short_conv(args, middle, args.dim);
    kernels().short_conv(args, 0, middle);
  }
  static void run_rule(const DeltaRuleArgs& args) {
    const int64_t n = args.batch.n_seqs * args.n_heads;
    kernels().delta_rule(args, n / 2, n);
    kernels().delta_rule(args, 0, n / 2);
  }
};

TEST_P(Recurrent, SigmoidGate) {
  for (const int64_t dim : {1, 7, 16, 65}) {
    for (const bool per_row : {false, true}) {
      const int64_t stride = per_row ? 1 : dim + 3;
      const std::vector<float> x = random_floats(5 * dim, 1);
      const std::vector<float> gate = random_floats(5 * stride, 2, 4.0f);
      std::vector<float> out = x;
      const SigmoidGateArgs args{out.data(), gate.data(), 5, dim, stride, per_row};
      kernels().sigmoid_gate(args, 0, 2);
      kernels().sigmoid_gate(args, 2, 5);
      for (int64_t i = 0; i < 5 * dim; ++i) {
        const double g = gate[static_cast<size_t>(i / dim * stride + (per_row ? 0 : i % dim))];
        const double expected = double{x[static_cast<size_t>(i)]} * sigmoid_of(g);
        ASSERT_NEAR(out[static_cast<size_t>(i)], expected, 1e-6 * (1 + std::abs(expected)));
      }
    }
  }
}

TEST_P(Recurrent, GatedNorm) {
  for (const int64_t dim : {1, 7, 20, 128, 131}) {
    const std::vector<float> x = random_floats(3 * dim, 3, 0.01f);  // epsilon shows
    const std::vector<float> gate = random_floats(3 * dim, 4, 3.0f);
    const std::vector<float> weight = random_floats(dim, 5);
    std::vector<float> out = x;  // in place
    const GatedNormArgs args{out.data(), gate.data(), weight.data(), 1e-4f, 3, dim, out.data()};
    kernels().gated_norm(args, 0, 1);
    kernels().gated_norm(args, 1, 3);
    for (int64_t i = 0; i < 3 * dim; ++i) {
      double sum = 0;
      for (int64_t j = i / dim * dim; j < (i / dim + 1) * dim; ++j) {
        sum += double{x[static_cast<size_t>(j)]} * double{x[static_cast<size_t>(j)]};
      }
      const double g = gate[static_cast<size_t>(i)];
      const double expected = double{x[static_cast<size_t>(i)]} /
                              std::sqrt(sum / static_cast<double>(dim) + 1e-4) *
                              double{weight[static_cast<size_t>(i % dim)]} * g * sigmoid_of(g);
      ASSERT_NEAR(out[static_cast<size_t>(i)], expected, 2e-6 * (1 + std::abs(expected)));
    }
  }
}

TEST_P(Recurrent, ShortConvolution) {
  for (const int64_t dim : {1, 7, 16, 83}) {
    for (const int64_t width : {2, 3, 4, 8}) {
      const std::vector<float> x = random_floats(29 * dim, 6);
      const std::vector<float> weight = random_floats(width * dim, 7);
      // Three sequences: two that go on and one that begins; the first has been run in two steps.
      RaggedStates states({{0, 9}, {4, 1}, {0, 19}}, (width - 1) * dim);
      std::vector<float> out(29 * static_cast<size_t>(dim), kNotANumber);
      const ShortConvArgs args{states.batch(), states.slots(), x.data(), weight.data(), dim,
                               width,          out.data()};
      const std::vector<float> before = states.memory();
      convolve(args);
      for (int64_t s = 0; s < 3; ++s) {
        const int64_t begin = states.begin(s);
        const int64_t n = states.begin(s + 1) - begin;
        // Token t of the sequence's tokens in this step, or before them.
        const auto input = [&](int64_t t, int64_t c) -> double {
          if (t >= 0) return x[static_cast<size_t>((begin + t) * dim + c)];
          if (states.fresh(s)) return 0;
          return before[static_cast<size_t>(states.offset(s) + (width - 1 + t) * dim + c)];
        };
        for (int64_t c = 0; c < dim; ++c) {
          for (int64_t t = 0; t < n; ++t) {
            double sum = 0;
            for (int64_t i = 0; i < width; ++i) {
              sum += double{weight[static_cast<size_t>(i * dim + c)]} * input(t - width + 1 + i, c);
            }
            ASSERT_NEAR(out[static_cast<size_t>((begin + t) * dim + c)], sum * sigmoid_of(sum),
                        3e-6)
                << dim << " " << width << " " << s << " " << t;
          }
          for (int64_t r = 0; r < width - 1; ++r) {
            ASSERT_EQ(states.memory()[static_cast<size_t>(states.offset(s) + r * dim + c)],
                      static_cast<float>(input(n - width + 1 + r, c)));
          }
        }
      }
    }
  }
}

TEST_P(Recurrent, DeltaRuleMatchesDoublePrecision) {
  for (const auto& [k_heads, heads, k_dim, v_dim] :
       {std::array<int64_t, 4>{1, 1, 1, 1}, {2, 6, 24, 20}, {1, 2, 16, 67}, {2, 2, 130, 128}}) {
    DeltaCase test({{0, 7}, {5, 1}, {3, 4}}, k_heads, heads, k_dim, v_dim);
    const std::vector<double> expected = test.reference();
    run_rule(test.args());
    EXPECT_LT(test.out_error(expected), 2e-5) << heads << " " << k_dim << " " << v_dim;
    EXPECT_LT(test.state_error(), 2e-5) << heads << " " << k_dim << " " << v_dim;
  }
}

// Bit for bit: one step of 12 tokens, and steps of 5, 1 and 6.
TEST_P(Recurrent, StepsMayBeCutAnywhere) {
  DeltaCase whole({{0, 12}}, 2, 4, 24, 20);
  run_rule(whole.args());
  DeltaCase cut({{0, 12}}, 2, 4, 24, 20);
  for (const auto& [begin, n] : {std::pair<int64_t, int64_t>{0, 5}, {5, 1}, {6, 6}}) {
    run_rule(cut.step(begin, n));
  }
  EXPECT_EQ(cut.out(), whole.out());
  EXPECT_EQ(cut.memory(), whole.memory());
}

TEST_P(Recurrent, NanStaysNan) {
  DeltaCase test({{0, 3}}, 1, 1, 8, 8);
  test.qkv()[16] = kNotANumber;  // of a value
  run_rule(test.args());
  EXPECT_TRUE(std::isnan(test.out()[0]));
  EXPECT_TRUE(std::isnan(test.out()[16])) << "the state remembers";
  float x = 1;
  kernels().sigmoid_gate({&x, &kNotANumber, 1, 1, 1, true}, 0, 1);
  EXPECT_TRUE(std::isnan(x));
}

INSTANTIATE_TEST_SUITE_P(All, Recurrent, ::testing::ValuesIn(fixtures::all_isas()),
                         fixtures::isa_name);

}  // namespace
}  // namespace tq
