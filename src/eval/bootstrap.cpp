#include "eval/bootstrap.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "base/check.h"
#include "loadgen/statistics.h"

namespace tq {

double lower_percentile(int64_t n) {
  if (n < 2) return 2.5;
  const double z = 1.959963984540054;  // of the normal distribution, 97.5 %
  const double z2 = z * z, freedom = static_cast<double>(n - 1);
  // Student's t by Abramowitz and Stegun, 26.7.5.
  const double terms[] = {z * (z2 + 1) / 4, z * ((5 * z2 + 16) * z2 + 3) / 96,
                          z * (((3 * z2 + 19) * z2 + 17) * z2 - 15) / 384,
                          z * ((((79 * z2 + 776) * z2 + 1482) * z2 - 1920) * z2 - 945) / 92160};
  double t = z, power = 1;
  for (const double term : terms) t += term / (power *= freedom);
  const double wide = t * std::sqrt(static_cast<double>(n) / freedom);
  return 100 * std::erfc(wide / std::sqrt(2.0)) / 2;
}

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
  const double lower = lower_percentile(out.n);
  out.low = percentile(means, lower);
  out.high = percentile(means, 100 - lower);
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
