#include "engine/evaluate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "support/expect_error.h"
#include "support/kv_formats.h"
#include "unit/engine/toy_model.h"

namespace tq {
namespace {

LoadOptions limits(int64_t batch, int64_t rows) {
  LoadOptions options;
  options.max_batch_tokens = batch;
  options.max_logit_rows = rows;
  options.max_sequences = 1;
  options.max_context = 64;
  return options;
}

// -log p of `id` after a history, by definition.
double toy_nll(const std::vector<int32_t>& history, int32_t id) {
  double sum = 0;
  for (int32_t other = 0; other < kToyVocab; ++other) {
    sum += std::exp(static_cast<double>(toy_logit(history, other)));
  }
  return std::log(sum) - toy_logit(history, id);
}

TEST(EvalWindows, ScoreEveryTokenOnce) {
  for (const bool has_prefix : {false, true}) {
    for (int64_t n = 0; n < 20; ++n) {
      for (int64_t length = 1; length < 8; ++length) {
        for (int64_t stride = 1; stride <= length; ++stride) {
          std::set<int64_t> scored;
          int64_t last_end = 0;
          for (const EvalWindow& w : eval_windows(n, length, stride, has_prefix)) {
            ASSERT_LE(w.end - w.begin, length);
            ASSERT_LE(w.end, n);
            ASSERT_GE(w.first_scored, w.begin + (has_prefix ? 0 : 1));
            ASSERT_LT(w.first_scored, w.end);
            ASSERT_GE(w.first_scored, last_end);
            for (int64_t t = w.first_scored; t < w.end; ++t) scored.insert(t);
            last_end = w.end;
          }
          // Without a prefix the first token of the text cannot be predicted, nor the first of a
          // window that begins where the one before ended.
          for (int64_t t = 0; t < n; ++t) {
            const bool first = !has_prefix && (t == 0 || (stride == length && t % stride == 0));
            ASSERT_EQ(scored.contains(t), !first) << n << " " << length << " " << stride;
          }
        }
      }
    }
  }
}

TEST(EvalWindows, RefuseAStrideThatLeavesGaps) {
  fixtures::expect_error(ErrorCode::kInvalidArgument, {"stride of 5", "1 to 4"},
                         [] { eval_windows(10, 4, 5, false); });
  fixtures::expect_error(ErrorCode::kInvalidArgument, {"stride of 0"},
                         [] { eval_windows(10, 4, 0, false); });
}

TEST(Evaluate, NllIsThatOfTheDefinition) {
  ToyModel model(limits(8, 3));  // chunks of 3
  LogitReader reader(model, fixtures::kKvF32, 16);
  const std::vector<int32_t> ids = {4, 8, 1, 9, 2, 7, 7, 3, 0, 5, 11, 12, 13};
  const std::vector<int32_t> prefix = {20};
  const EvalText text{ids, prefix, eval_windows(13, 6, 4, true)};
  int64_t last_done = 0;
  const RunningMean nll = evaluate_nll(reader, text, [&](int64_t done, int64_t all) {
    EXPECT_GE(done, last_done);
    EXPECT_EQ(all, 13);
    last_done = done;
  });
  EXPECT_EQ(last_done, 13);
  double sum = 0;
  for (const EvalWindow& window : text.windows) {
    for (int64_t t = window.first_scored; t < window.end; ++t) {
      std::vector<int32_t> history = prefix;
      history.insert(history.end(), ids.begin() + window.begin, ids.begin() + t);
      sum += toy_nll(history, ids[static_cast<size_t>(t)]);
    }
  }
  EXPECT_EQ(nll.n(), 13);
  EXPECT_NEAR(nll.mean(), sum / 13, 1e-6);
}

TEST(Evaluate, ChunksDoNotMatter) {
  const std::vector<int32_t> ids = {4, 8, 1, 9, 2, 7, 7, 3, 0, 5, 11};
  const auto mean = [&](int64_t rows) {
    ToyModel model(limits(32, rows));
    LogitReader reader(model, fixtures::kKvF32, 32);
    return evaluate_nll(reader, {ids, {}, eval_windows(11, 11, 11, false)}, {}).mean();
  };
  EXPECT_EQ(mean(1), mean(32));
  EXPECT_EQ(mean(4), mean(32));
}

TEST(Evaluate, AModelDoesNotDivergeFromItself) {
  ToyModel model(limits(8, 8));
  ToyModel same(limits(8, 4));
  LogitReader a(model, fixtures::kKvF32, 16);
  LogitReader b(same, fixtures::kKvF32, 16);
  const std::vector<int32_t> ids = {4, 8, 1, 9, 2};
  const KldResult result = evaluate_kld(a, b, {ids, {}, eval_windows(5, 16, 16, false)}, {});
  EXPECT_EQ(result.kld.n(), 4);
  EXPECT_NEAR(result.kld.mean(), 0, 1e-12);
  EXPECT_EQ(result.same_top1.mean(), 1);
  EXPECT_EQ(result.nll.mean(), result.reference_nll.mean());
}

// As long double says it; plain p log(p / q) loses what is below 1e-8.
TEST(Evaluate, SmallDivergencesAreNotRoundedAway) {
  for (const float change : {1e-4F, 3e-4F, 1e-2F, 0.3F, 3.0F}) {
    std::vector<float> p(5000), q(5000);
    long double p_sum = 0, q_sum = 0;
    for (size_t i = 0; i < p.size(); ++i) {
      p[i] = std::sin(static_cast<float>(i)) * 4;
      q[i] = p[i] + change * std::cos(static_cast<float>(i * i % 977));
      p_sum += std::exp(static_cast<long double>(p[i]));
      q_sum += std::exp(static_cast<long double>(q[i]));
    }
    long double kld = 0;
    for (size_t i = 0; i < p.size(); ++i) {
      const long double log_p = p[i] - std::log(p_sum), log_q = q[i] - std::log(q_sum);
      kld += std::exp(log_p) * (log_p - log_q);
    }
    const auto expected = static_cast<double>(kld);
    const double actual = divergence(0, q, p).kld;
    EXPECT_NEAR(actual, expected, 2e-3 * expected + 1e-12) << change;
    EXPECT_GT(actual, 0);
  }
}

// Logits of the toy, changed for one token.
class SkewedModel : public ToyModel {
 public:
  using ToyModel::ToyModel;
  void forward(Batch batch, KvCache& kv, std::span<float> logits) override {
    ToyModel::forward(batch, kv, logits);
    for (size_t i = 0; i < logits.size(); i += kToyVocab) logits[i] += 20;
  }
};

TEST(Evaluate, DivergenceIsThatOfTheDefinition) {
  SkewedModel model(limits(8, 8));
  ToyModel reference(limits(8, 8));
  LogitReader a(model, fixtures::kKvF32, 16);
  LogitReader b(reference, fixtures::kKvF32, 16);
  const std::vector<int32_t> ids = {4, 8};
  const KldResult result = evaluate_kld(a, b, {ids, {}, eval_windows(2, 16, 16, false)}, {});
  double p_sum = 0;
  double q_sum = 0;
  for (int32_t id = 0; id < kToyVocab; ++id) {
    p_sum += std::exp(toy_logit(std::vector{4}, id));
    q_sum += std::exp(toy_logit(std::vector{4}, id) + (id == 0 ? 20.0 : 0.0));
  }
  double kld = 0;
  for (int32_t id = 0; id < kToyVocab; ++id) {
    const double logit = toy_logit(std::vector{4}, id);
    const double p = std::exp(logit) / p_sum;
    kld += p * (std::log(p) - (logit + (id == 0 ? 20.0 : 0.0) - std::log(q_sum)));
  }
  EXPECT_EQ(result.kld.n(), 1);
  EXPECT_NEAR(result.kld.mean(), kld, 1e-5);
  EXPECT_EQ(result.same_top1.mean(), 0);
  EXPECT_NEAR(result.reference_nll.mean(), toy_nll({4}, 8), 1e-6);
  EXPECT_GT(result.nll.mean(), result.reference_nll.mean());
}

TEST(Evaluate, BrokenLogitsAreAnError) {
  ToyModel model(limits(8, 8));
  LogitReader reader(model, fixtures::kKvF32, 16);
  const std::vector<int32_t> ids = {4, kToyNan, 1};
  fixtures::expect_error(ErrorCode::kInternal, {"not finite"}, [&] {
    evaluate_nll(reader, {ids, {}, eval_windows(3, 16, 16, false)}, {});
  });
}

TEST(Evaluate, MoreTokensThanTheContextAreRefused) {
  ToyModel model(limits(8, 8));
  fixtures::expect_error(ErrorCode::kInvalidArgument, {"65 tokens", "context of 64"},
                         [&] { LogitReader(model, fixtures::kKvF32, 65); });
}

TEST(Evaluate, LogSumExpOfLargeLogits) {
  const std::vector<float> row = {1000, 1000, -1000};
  EXPECT_NEAR(log_sum_exp(row), 1000 + std::log(2.0), 1e-9);
  EXPECT_EQ(argmax(row), 0);
}

TEST(RunningMean, MeanAndErrors) {
  RunningMean mean;
  EXPECT_EQ(mean.standard_error(), 0);
  for (const double x : {1.0, 2.0, 3.0, 4.0}) mean.add(x);
  EXPECT_DOUBLE_EQ(mean.mean(), 2.5);
  EXPECT_DOUBLE_EQ(mean.deviation(), std::sqrt(5.0 / 3));
  EXPECT_DOUBLE_EQ(mean.standard_error(), std::sqrt(5.0 / 3) / 2);
}

}  // namespace
}  // namespace tq
