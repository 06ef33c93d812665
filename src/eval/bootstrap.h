// Means of few numbers with what can be said about them: intervals by the bootstrap (Efron 1979),
// which draws the numbers again with replacement and takes percentiles of what comes out. Of few
// numbers the 2.5th and 97.5th would be too near: resamples vary by n - 1 instead of n, and their
// spread is as uncertain as Student's t says. Both are made up for by percentiles further out
// (the expanded percentile interval, Hesterberg 2015, arXiv:1411.5279, section 5.3).
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace tq {

struct Interval {
  double mean = 0;
  double low = 0;
  double high = 0;
  int64_t n = 0;

  // Whether nothing (0, or another value that means no difference) lies outside of the interval. Of
  // fewer than six numbers it is never told: one time in sixteen five fall on one side by chance.
  bool differs_from(double nothing) const { return n > 5 && (low > nothing || high < nothing); }
};

inline constexpr int kResamples = 10000;

// The percentile of resamples of n numbers, 2.5 or less, at which a 95 % interval begins.
double lower_percentile(int64_t n);

// The mean of the values and its 95 % interval. The same seed gives the same interval everywhere.
// Of one value the interval is that value, of none all is 0.
Interval bootstrap_mean(std::span<const double> values, uint64_t seed = 1);

// Of a[i] - b[i]: the same units (scenarios, questions) by two subjects. As many of each.
Interval bootstrap_difference(std::span<const double> a, std::span<const double> b,
                              uint64_t seed = 1);

// "0.700 (0.600 to 0.800)"
std::string interval_text(const Interval& interval);

}  // namespace tq
