#include "eval/bootstrap.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <vector>

#include "base/check.h"
#include "loadgen/statistics.h"

namespace tq {

Interval bootstrap_mean(std::span<const double> values, uint64_t seed) {
  Interval out;
  out.n = static_cast<int64_t>(values.size());
  if (values.empty()) return out;
  const auto n = static_cast<double>(values.size());
  for (const double value : values) out.mean += value / n;
  std::mt19937_64 random(seed);
  std::vector<double> means(kResamples);
  for (double& mean : means) {
    double sum = 0;
    // The remainder of 64 bits: no distribution of the library, which differ between libraries.
    for (size_t i = 0; i < values.size(); ++i) sum += values[random() % values.size()];
    mean = sum / n;
  }
  std::sort(means.begin(), means.end());
  out.low = percentile(means, 2.5);
  out.high = percentile(means, 97.5);
  return out;
}

Interval bootstrap_difference(std::span<const double> a, std::span<const double> b, uint64_t seed) {
  TQ_CHECK(a.size() == b.size(), "{} values and {}", a.size(), b.size());
  std::vector<double> differences(a.size());
  for (size_t i = 0; i < a.size(); ++i) differences[i] = a[i] - b[i];
  return bootstrap_mean(differences, seed);
}

std::string interval_text(const Interval& interval) {
  return fmt::format("{:.3f} ({:.3f} to {:.3f})", interval.mean, interval.low, interval.high);
}

}  // namespace tq
