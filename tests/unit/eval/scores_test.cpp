#include "eval/scores.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "eval/scenario_report.h"

namespace tq {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

TEST(Bootstrap, IntervalsAreThoseOfTheNormalDistributionForMany) {
  std::vector<double> values;
  for (int i = 0; i < 400; ++i) values.push_back(i % 2);
  const Interval interval = bootstrap_mean(values);
  EXPECT_DOUBLE_EQ(interval.mean, 0.5);
  EXPECT_THAT(interval.low, DoubleNear(0.5 - 1.96 * 0.025, 0.004));
  EXPECT_THAT(interval.high, DoubleNear(0.5 + 1.96 * 0.025, 0.004));
  EXPECT_EQ(interval.n, 400);
  EXPECT_FALSE(interval.differs_from(0.5));
  EXPECT_TRUE(interval.differs_from(0));
}

TEST(Bootstrap, PairsTakeOutWhatScenariosDifferBy) {
  std::vector<double> a;
  std::vector<double> b;
  for (int i = 0; i < 20; ++i) {
    a.push_back(i % 5 + 0.2 + 0.1 * (i % 3));  // harder and easier scenarios
    b.push_back(i % 5);
  }
  EXPECT_TRUE(bootstrap_difference(a, b).differs_from(0));
  EXPECT_FALSE(bootstrap_difference(a, a).differs_from(0));
  EXPECT_GT(bootstrap_mean(a).high - bootstrap_mean(a).low, 0.9);  // alone it could not be told
}

TEST(Bootstrap, NoiseIsNotADifference) {
  std::vector<double> difference;
  for (int i = 0; i < 20; ++i) difference.push_back(std::sin(i * 2.4));
  EXPECT_FALSE(bootstrap_mean(difference).differs_from(0));
}

// Table 2 of Hesterberg 2015 (arXiv:1411.5279): of 5, 10 and 20 numbers .0010, .0086 and .0159.
TEST(Bootstrap, PercentilesOfFewAreFurtherOut) {
  EXPECT_THAT(lower_percentile(5), DoubleNear(0.10, 0.01));
  EXPECT_THAT(lower_percentile(10), DoubleNear(0.86, 0.005));
  EXPECT_THAT(lower_percentile(20), DoubleNear(1.59, 0.005));
  EXPECT_THAT(lower_percentile(1000000), DoubleNear(2.5, 0.001));
  for (int64_t n = 2; n < 100; ++n) EXPECT_LT(lower_percentile(n), lower_percentile(n + 1));
}

// Twenty differences that mean nothing are taken for some one time in twenty; of plain percentiles
// it is one in fifteen.
TEST(Bootstrap, NothingIsSignificantAsRarelyAsItShould) {
  std::mt19937_64 random(5);
  int n_found = 0;
  constexpr int kTrials = 300;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::vector<double> values(20);
    for (double& value : values) {
      for (int k = 0; k < 6; ++k) value += static_cast<double>(random() >> 40) - (1 << 23);
    }
    n_found += bootstrap_mean(values).differs_from(0);
  }
  EXPECT_GT(n_found, kTrials / 40);
  EXPECT_LT(n_found, kTrials / 14);
}

TEST(Bootstrap, FewValues) {
  const double five[] = {1, 2, 3, 4, 5}, six[] = {1, 2, 3, 4, 5, 6};
  EXPECT_FALSE(bootstrap_mean(five).differs_from(0));
  EXPECT_TRUE(bootstrap_mean(six).differs_from(0));
  EXPECT_EQ(bootstrap_mean({}).n, 0);
  const double one[] = {3.0};
  EXPECT_EQ(bootstrap_mean(one).low, 3);
  EXPECT_FALSE(bootstrap_mean(one).differs_from(0));  // one scenario proves nothing
}

// Two scenarios, two seeds each.
class ScoresTest : public testing::Test {
 protected:
  const std::vector<Scenario> scenarios_{{.id = "a",
                                          .title = "A",
                                          .language = "en",
                                          .system = "",
                                          .turns = {{"?", {}, {}}},
                                          .criteria = {{"accuracy", "?"}, {"tone", "?"}}},
                                         {.id = "b",
                                          .title = "B <b>",
                                          .language = "fi",
                                          .system = "",
                                          .turns = {{"?", {}, {}}},
                                          .criteria = {{"accuracy", "?"}}}};

  Conversation said(size_t scenario, std::vector<bool> checks, double began = 0) {
    SaidTurn turn{.user = "?",
                  .answer = {.text = "Ä & <script>",
                             .prompt_tokens = 10,
                             .output_tokens = 20,
                             .began = began,
                             .seconds = 2},
                  .checks = {}};
    for (const bool passed : checks) turn.checks.push_back({"c", passed});
    return {.scenario = &scenarios_[scenario], .seed = 1, .turns = {turn}, .fault = {}};
  }
  static Judgement judged(std::vector<int> scores) {
    Judgement judgement;
    std::vector<Verdict> verdicts;
    for (const int score : scores) verdicts.push_back({"x", score, "because <b>"});
    judgement.orders = {verdicts};
    return judgement;
  }
  SubjectRun run() {
    return {.name = "m",
            .identity = "m",
            .conversations = {said(0, {true, false}, 0), said(0, {true, true}, 1),
                              said(1, {false}, 10), said(1, {}, 20)},
            .judgements = {judged({5, 3}), judged({3, 1}), judged({2}), {}}};
  }
};

TEST_F(ScoresTest, SeedsAreAveragedFirst) {
  const auto scores = scenario_scores(run(), 2);
  ASSERT_THAT(scores, SizeIs(2));
  EXPECT_DOUBLE_EQ(*scores[0].judged, 3);
  EXPECT_DOUBLE_EQ(*scores[0].checks, 0.75);
  EXPECT_DOUBLE_EQ(*scores[1].judged, 2);  // of one conversation; the other was not judged
  EXPECT_DOUBLE_EQ(*scores[1].checks, 0);
  const auto measures = run_measures(scores);
  ASSERT_THAT(measures, SizeIs(4));
  EXPECT_EQ(measures[0].name, "judged");
  EXPECT_DOUBLE_EQ(measures[0].interval.mean, 2.5);
  EXPECT_EQ(measures[2].name, "accuracy");
  EXPECT_DOUBLE_EQ(measures[2].interval.mean, 3);
  EXPECT_EQ(measures[3].name, "tone");
  EXPECT_EQ(measures[3].interval.n, 1);
}

TEST_F(ScoresTest, DifferencesAreOfWhatBothHave) {
  const auto a = scenario_scores(run(), 2);
  auto b = a;
  b[1].judged.reset();
  b[0].judged = 1;
  const auto differences = run_differences(a, b);
  EXPECT_EQ(differences[0].interval.n, 1);
  EXPECT_DOUBLE_EQ(differences[0].interval.mean, 2);
  EXPECT_DOUBLE_EQ(differences[1].interval.mean, 0);
}

TEST_F(ScoresTest, ConversationsWithoutAnAnswerDoNotCount) {
  SubjectRun broken = run();
  broken.conversations[2].fault = "no connection";
  broken.judgements[2] = {};
  const auto scores = scenario_scores(broken, 2);
  EXPECT_FALSE(scores[1].judged);
  EXPECT_FALSE(scores[1].checks);
}

TEST_F(ScoresTest, TimeThatOverlapsCountsOnce) {
  const Cost cost = cost_of(run());
  EXPECT_DOUBLE_EQ(cost.busy_seconds, 7);  // 0 to 3, 10 to 12, 20 to 22
  EXPECT_EQ(cost.output_tokens, 80);
  EXPECT_EQ(cost.n_conversations, 4);
  const auto price = price_of(cost, 3.6);
  ASSERT_TRUE(price);
  EXPECT_DOUBLE_EQ(price->conversation, 0.007 / 4);
  EXPECT_DOUBLE_EQ(price->million_tokens, 0.007 / 80 * 1e6);
  EXPECT_FALSE(price_of(cost, std::nullopt));
  EXPECT_FALSE(price_of({}, 1.0));
}

TEST_F(ScoresTest, WinsTiesAndLosses) {
  const auto pair = [](Preference first, Preference second) {
    return PairJudgement{.orders = {{first, ""}, {second, ""}}, .fault = {}};
  };
  const std::vector<PairJudgement> pairs{
      pair(Preference::kFirst, Preference::kSecond), pair(Preference::kFirst, Preference::kFirst),
      pair(Preference::kSecond, Preference::kFirst), PairJudgement{.orders = {}, .fault = "slow"}};
  const WinRate rate = win_rate(pairs, 2);
  EXPECT_EQ(rate.wins, 1);
  EXPECT_EQ(rate.ties, 1);
  EXPECT_EQ(rate.losses, 1);
  EXPECT_EQ(rate.order_bound, 1);
  EXPECT_EQ(rate.missing, 1);
  EXPECT_DOUBLE_EQ(rate.points.mean, (0.75 + 0) / 2);
}

TEST_F(ScoresTest, ReportsEscapeWhatWasSaid) {
  ScenarioReport report{.scenarios = scenarios_,
                        .runs = {run(), run()},
                        .pairs = {},
                        .judge = "j",
                        .subject = {},
                        .judging = {},
                        .price_per_hour = 2.0};
  report.pairs.resize(4);
  report.pairs[0].orders = {{Preference::kFirst, "better & <i>"}};
  const std::string html = scenario_report_html(report, {{"command", "tq <x>"}});
  EXPECT_THAT(html, HasSubstr("Ä &amp; &lt;script&gt;"));
  EXPECT_THAT(html, HasSubstr("B &lt;b&gt;"));
  EXPECT_THAT(html, HasSubstr("better &amp; &lt;i&gt;"));
  for (const char* part : {"<script", "<b>", "<i>", "<x>", "http://", "https://", "nan"}) {
    EXPECT_THAT(html, Not(HasSubstr(part)));
  }
  const Json json = scenario_report_json(report);
  EXPECT_EQ(json["subjects"][0]["conversations"][0]["turns"][0]["text"], "Ä & <script>");
  EXPECT_EQ(json["differences"][0]["significant"], false);
  EXPECT_EQ(json["win_rate"]["missing"], 3);
  EXPECT_THAT(json["subjects"], SizeIs(2));
}

}  // namespace
}  // namespace tq
