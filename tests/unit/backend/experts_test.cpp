// Mixture-of-experts operators and per-head products against the plain matmul and definitions
// written out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "backend/backend.h"
#include "unit/backend/backend_fixture.h"

namespace tq {
namespace {

using fixtures::RandomWeight;
using ::testing::ElementsAre;

struct RoutingStorage {
  RoutingStorage(int64_t n_tokens, int64_t top_k, int64_t n_experts)
      : experts(static_cast<size_t>(n_tokens * top_k)),
        pairs(experts.size()),
        tokens(experts.size()),
        begin(static_cast<size_t>(n_experts) + 1),
        weights(experts.size()) {}
  Routing view() {
    return {experts.data(), weights.data(), pairs.data(), tokens.data(), begin.data()};
  }
  std::vector<int32_t> experts, pairs, tokens, begin;
  std::vector<float> weights;
};

RouteArgs route_args(const std::vector<float>& logits, int64_t tokens, int64_t top_k,
                     RoutingStorage& storage) {
  return {.logits = logits.data(),
          .tokens = tokens,
          .n_experts = static_cast<int64_t>(logits.size()) / tokens,
          .top_k = top_k,
          .score = RouteScore::kSoftmax,
          .out = storage.view()};
}

class ExpertsTest : public ::testing::Test {
 protected:
  std::unique_ptr<Backend> backend_ = make_cpu_backend({.threads = 3});
};

TEST_F(ExpertsTest, SoftmaxWeightsOfTheChosenSumToOne) {
  const std::vector<float> logits = {0, 2, 1, 3, /**/ 5, 5, 1, 1};
  RoutingStorage out(2, 2, 4);
  backend_->route(route_args(logits, 2, 2, out));
  EXPECT_THAT(out.experts, ElementsAre(3, 1, 0, 1));  // of equals the first
  const float e = std::exp(1.0f);
  EXPECT_THAT(out.weights, ::testing::Pointwise(::testing::FloatNear(1e-6f),
                                                {e / (1 + e), 1 / (1 + e), 0.5f, 0.5f}));
}

TEST_F(ExpertsTest, WithoutNormalisationWeightsAreTheScores) {
  const std::vector<float> logits = {0, std::log(2.0f), std::log(5.0f)};
  RoutingStorage out(1, 2, 3);
  RouteArgs args = route_args(logits, 1, 2, out);
  args.normalize = false;
  args.scale = 4;
  const std::vector<float> scales = {1, 0.5f, 2};
  args.expert_scale = scales.data();
  backend_->route(args);
  EXPECT_THAT(out.weights, ::testing::Pointwise(::testing::FloatNear(1e-5f),
                                                {4 * 2 * 5.0f / 8, 4 * 0.5f * 2.0f / 8}));
}

TEST_F(ExpertsTest, BiasChoosesButDoesNotWeigh) {
  const std::vector<float> logits = {0, 1, 2};
  const std::vector<float> bias = {20, -20, 0};
  RoutingStorage out(1, 2, 3);
  RouteArgs args = route_args(logits, 1, 2, out);
  args.score = RouteScore::kSigmoid;
  args.selection_bias = bias.data();
  args.normalize = false;
  backend_->route(args);
  EXPECT_THAT(out.experts, ElementsAre(0, 2));
  EXPECT_NEAR(out.weights[0], 0.5, 1e-6);
  EXPECT_NEAR(out.weights[1], 1 / (1 + std::exp(-2.0)), 1e-6);
}

TEST_F(ExpertsTest, OnlyExpertsOfTheBestGroupsAreChosen) {
  // Group sums of the two best: 0.9 + 0.1, 0.6 + 0.6, 0.7 + 0.2.
  const std::vector<float> scores = {0.9f, 0.1f, 0.05f, 0.6f, 0.6f, 0.5f, 0.7f, 0.2f, 0.1f};
  std::vector<float> logits;
  for (const float s : scores) logits.push_back(std::log(s / (1 - s)));
  RoutingStorage out(1, 3, 9);
  RouteArgs args = route_args(logits, 1, 3, out);
  args.score = RouteScore::kSigmoid;
  args.n_groups = 3;
  args.top_groups = 1;
  backend_->route(args);
  EXPECT_THAT(out.experts, ElementsAre(3, 4, 5));
  args.top_groups = 2;
  backend_->route(args);
  EXPECT_THAT(out.experts, ElementsAre(0, 3, 4));
}

TEST_F(ExpertsTest, NansAreRoutedSomewhere) {
  const std::vector<float> logits(6, std::nanf(""));
  RoutingStorage out(1, 4, 6);
  backend_->route(route_args(logits, 1, 4, out));
  std::sort(out.experts.begin(), out.experts.end());
  EXPECT_EQ(std::unique(out.experts.begin(), out.experts.end()), out.experts.end());
  EXPECT_GE(out.experts.front(), 0);
  EXPECT_LT(out.experts.back(), 6);
}

TEST_F(ExpertsTest, PairsAreSortedByExpertThenToken) {
  const std::vector<float> logits = {9, 8, 0, 0, /**/ 0, 9, 8, 0, /**/ 8, 9, 0, 0};
  RoutingStorage out(3, 2, 4);
  backend_->route(route_args(logits, 3, 2, out));
  EXPECT_THAT(out.experts, ElementsAre(0, 1, 1, 2, 1, 0));
  EXPECT_THAT(out.begin, ElementsAre(0, 2, 5, 6, 6));
  EXPECT_THAT(out.tokens, ElementsAre(0, 2, 0, 1, 2, 1));
  EXPECT_THAT(out.pairs, ElementsAre(0, 2, 3, 5, 4, 1));
}

// Matrices of random codes, apart from each other, and their pointers.
struct RandomStack {
  RandomStack(const char* format, int64_t n, int64_t rows, int64_t in) {
    for (int64_t i = 0; i < n; ++i) {
      matrices.emplace_back(format, rows, in, static_cast<uint32_t>(10 + i));
    }
    for (const RandomWeight& matrix : matrices) {
      codes.push_back(matrix.view.codes);
      gains.push_back(matrix.view.gains);
    }
  }
  MatrixStack view() const {
    return {matrices[0].view, static_cast<int64_t>(matrices.size()), codes.data(), gains.data()};
  }
  std::vector<RandomWeight> matrices;
  std::vector<const uint8_t*> codes;
  std::vector<const uint16_t*> gains;
};

// Activations of normal numbers.
struct RandomInput {
  RandomInput(Backend& backend, const WeightView& weight, int64_t rows)
      : x(static_cast<size_t>(rows * weight.in)),
        storage(
            backend.activation_bytes(rows, weight.in_padded, weight.group, weight.traits().input) +
            64) {
    std::mt19937 random(3);
    std::normal_distribution<float> normal;
    for (float& value : x) value = normal(random);
    activation = backend.prepare({x.data(), rows, weight.in, weight.in_padded, weight.group,
                                  weight.traits().input, storage.data()});
  }
  std::vector<float> x;
  std::vector<uint8_t> storage;
  Activation activation;
};

// Row `row` of the activations times a matrix, by the plain matmul.
std::vector<float> product(Backend& backend, const WeightView& weight, Activation x, int64_t row) {
  std::vector<float> out(static_cast<size_t>(weight.rows));
  x.tokens = 1;
  x.rows = {.first = row};
  backend.matmul({.weight = weight, .x = x, .out = out.data()});
  return out;
}

TEST_F(ExpertsTest, EachPairIsMultipliedByItsExpert) {
  for (const char* format : {"tq3", "bf16"}) {
    const RandomStack stack(format, 5, 50, 96);
    // Experts with no pair, one, all tokens, and the last empty.
    const std::vector<int32_t> begin = {0, 0, 1, 8, 10, 10};
    const std::vector<int32_t> tokens = {3, 0, 1, 2, 3, 4, 5, 6, 2, 6};
    for (const bool by_token : {true, false}) {
      const RandomInput input(*backend_, stack.view().matrix, by_token ? 7 : 10);
      std::vector<float> out(10 * 50);
      backend_->matmul_experts({.weights = stack.view(),
                                .x = input.activation,
                                .begin = begin.data(),
                                .x_rows = by_token ? tokens.data() : nullptr,
                                .out = out.data()});
      for (size_t pair = 0; pair < tokens.size(); ++pair) {
        const auto expert = static_cast<size_t>(
            std::upper_bound(begin.begin(), begin.end(), static_cast<int32_t>(pair)) -
            begin.begin() - 1);
        const auto expected = product(*backend_, stack.matrices[expert].view, input.activation,
                                      by_token ? tokens[pair] : static_cast<int64_t>(pair));
        EXPECT_TRUE(std::equal(expected.begin(), expected.end(), out.begin() + 50 * pair))
            << format << ", pair " << pair;
      }
    }
  }
}

TEST_F(ExpertsTest, EachHeadIsMultipliedByItsMatrix) {
  for (const char* format : {"tq8", "bf16"}) {
    const int64_t heads = 3;
    const RandomStack stack(format, heads, 20, 64);
    const RandomInput input(*backend_, stack.view().matrix, 4 * heads);
    const int64_t stride = 25;
    std::vector<float> out(static_cast<size_t>(4 * heads * stride), -1.0f);
    backend_->matmul_heads(
        {.weights = stack.view(), .x = input.activation, .out = out.data(), .out_stride = stride});
    for (int64_t row = 0; row < 4 * heads; ++row) {
      const WeightView& weight = stack.matrices[static_cast<size_t>(row % heads)].view;
      const auto expected = product(*backend_, weight, input.activation, row);
      const auto* actual = out.data() + row * stride;
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(), actual)) << format << ' ' << row;
      EXPECT_EQ(actual[20], -1.0f);  // the gap is left alone
    }
  }
}

TEST_F(ExpertsTest, CombineWeighsThePairsOfAToken) {
  RoutingStorage routing(2, 2, 3);
  routing.pairs = {2, 0, 1, 3};
  routing.weights = {0.5f, 2, 1, -1};
  const std::vector<float> y = {1, 2, /**/ 3, 4, /**/ 5, 6, /**/ 7, 8};
  std::vector<float> out = {100, 100, 100, 100};
  CombineArgs args{y.data(), routing.view(), 2, 2, 2, false, out.data()};
  backend_->combine(args);
  EXPECT_THAT(out, ElementsAre(4.5f, 7, -4, -4));
  args.accumulate = true;
  backend_->combine(args);
  EXPECT_THAT(out, ElementsAre(9, 14, -8, -8));
}

}  // namespace
}  // namespace tq
