// Numbers about lists of measurements, as NumPy computes them (mean, median, std, percentile).
#pragma once

#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace tq {

// The p-th percentile (0 to 100) of ascending values, linearly between the two nearest; values must
// not be empty.
double percentile(std::span<const double> ascending, double p);

struct Summary {
  double mean = 0;
  double median = 0;
  double std = 0;                                      // of the population: the divisor is n
  std::vector<std::pair<double, double>> percentiles;  // p, value
};

// Nothing of no values.
std::optional<Summary> summarize(std::vector<double> values, std::span<const double> percentiles);

}  // namespace tq
