// Means of few numbers with what can be said about them: intervals by the bootstrap (Efron 1979),
// which draws the numbers again with replacement and takes the percentiles of what comes out.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace tq {

struct Interval {
  double mean = 0;
  double low = 0;   // 2.5th percentile of the means of resamples
  double high = 0;  // 97.5th
  int64_t n = 0;

  // Whether nothing (0, or another value that means no difference) lies outside of the interval.
  bool differs_from(double nothing) const { return n > 1 && (low > nothing || high < nothing); }
};

inline constexpr int kResamples = 10000;

// The mean of the values and its 95 % interval. The same seed gives the same interval everywhere.
// Of one value the interval is that value, of none all is 0.
Interval bootstrap_mean(std::span<const double> values, uint64_t seed = 1);

// Of a[i] - b[i]: the same units (scenarios, questions) by two subjects. As many of each.
Interval bootstrap_difference(std::span<const double> a, std::span<const double> b,
                              uint64_t seed = 1);

// "0.700 (0.600 to 0.800)"
std::string interval_text(const Interval& interval);

}  // namespace tq
