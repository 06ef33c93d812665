#include "loadgen/statistics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "loadgen/schedule.h"

namespace tq {
namespace {

// As numpy.percentile, numpy.std and numpy.median give them.
TEST(Statistics, AgreesWithNumpy) {
  const std::vector<double> values = {15, 20, 35, 40, 50};
  EXPECT_DOUBLE_EQ(percentile(values, 0), 15);
  EXPECT_DOUBLE_EQ(percentile(values, 40), 29);
  EXPECT_DOUBLE_EQ(percentile(values, 50), 35);
  EXPECT_DOUBLE_EQ(percentile(values, 90), 46);
  EXPECT_DOUBLE_EQ(percentile(values, 100), 50);
  const auto summary = summarize({50, 15, 40, 20, 35}, std::vector<double>{25, 99});
  ASSERT_TRUE(summary);
  EXPECT_DOUBLE_EQ(summary->mean, 32);
  EXPECT_DOUBLE_EQ(summary->median, 35);
  EXPECT_NEAR(summary->std, 12.884098726725126, 1e-12);
  ASSERT_EQ(summary->percentiles.size(), 2u);
  EXPECT_EQ(summary->percentiles[0].first, 25);
  EXPECT_DOUBLE_EQ(summary->percentiles[0].second, 20);
  EXPECT_NEAR(summary->percentiles[1].second, 49.6, 1e-12);
}

TEST(Statistics, OneValueAndNone) {
  const auto summary = summarize({7}, std::vector<double>{0, 99.9});
  ASSERT_TRUE(summary);
  EXPECT_EQ(summary->std, 0);
  EXPECT_EQ(summary->percentiles[1].second, 7);
  EXPECT_FALSE(summarize({}, std::vector<double>{50}));
}

double mean_gap(const std::vector<double>& times) {
  return times.back() / static_cast<double>(times.size() - 1);
}

// The variance of the times between, over the square of their mean.
double scatter(const std::vector<double>& times) {
  const double mean = mean_gap(times);
  double squares = 0;
  for (size_t i = 1; i < times.size(); ++i) {
    squares += std::pow(times[i] - times[i - 1] - mean, 2);
  }
  return squares / static_cast<double>(times.size() - 1) / (mean * mean);
}

TEST(Schedule, HasItsRateAndItsBursts) {
  for (const double burstiness : {0.25, 1.0, 4.0}) {
    const std::vector<double> times = arrival_times(50000, 20, burstiness, 3);
    ASSERT_EQ(times.size(), 50000u);
    EXPECT_EQ(times[0], 0);
    EXPECT_TRUE(std::is_sorted(times.begin(), times.end()));
    EXPECT_NEAR(mean_gap(times), 1 / 20.0, 0.002);
    EXPECT_NEAR(scatter(times) * burstiness, 1, 0.1) << burstiness;
  }
}

TEST(Schedule, IsTheSameForASeed) {
  EXPECT_EQ(arrival_times(100, 2, 1, 5), arrival_times(100, 2, 1, 5));
  EXPECT_NE(arrival_times(100, 2, 1, 5), arrival_times(100, 2, 1, 6));
  // On every machine.
  const std::vector<double> times = arrival_times(4, 1, 1, 0);
  EXPECT_NEAR(times[1], 0.17410742140928287, 1e-12);
  EXPECT_NEAR(times[2], 5.020739116478369, 1e-12);
  EXPECT_TRUE(arrival_times(0, 1, 1, 0).empty());
}

TEST(Schedule, NumbersBelow) {
  std::mt19937_64 random(1);
  std::set<uint64_t> seen;
  for (int i = 0; i < 1000; ++i) {
    const uint64_t value = below(random, 7);
    ASSERT_LT(value, 7u);
    seen.insert(value);
  }
  EXPECT_EQ(seen.size(), 7u);
}

}  // namespace
}  // namespace tq
