#include "loadgen/statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace tq {

double percentile(std::span<const double> ascending, double p) {
  const double at = static_cast<double>(ascending.size() - 1) * p / 100;
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, ascending.size() - 1);
  const double share = at - static_cast<double>(below);
  return ascending[below] + (ascending[above] - ascending[below]) * share;
}

std::optional<Summary> summarize(std::vector<double> values, std::span<const double> percentiles) {
  if (values.empty()) return std::nullopt;
  std::sort(values.begin(), values.end());
  const auto n = static_cast<double>(values.size());
  Summary out;
  out.mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  out.median = percentile(values, 50);
  double squares = 0;
  for (const double value : values) squares += (value - out.mean) * (value - out.mean);
  out.std = std::sqrt(squares / n);
  for (const double p : percentiles) out.percentiles.emplace_back(p, percentile(values, p));
  return out;
}

}  // namespace tq
