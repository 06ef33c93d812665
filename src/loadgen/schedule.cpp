#include "loadgen/schedule.h"

#include <cmath>
#include <numbers>

namespace tq {
namespace {

double normal(std::mt19937_64& random) {
  const double radius = std::sqrt(-2 * std::log(1 - uniform(random)));
  return radius * std::cos(2 * std::numbers::pi * uniform(random));
}

// Of mean `shape`. Marsaglia and Tsang, A Simple Method for Generating Gamma Variables (2000); a
// shape below 1 by their section 6.
double gamma_variable(std::mt19937_64& random, double shape) {
  if (shape == 1) return -std::log(1 - uniform(random));
  if (shape < 1) {
    const double larger = gamma_variable(random, shape + 1);
    return larger * std::pow(1 - uniform(random), 1 / shape);
  }
  const double d = shape - 1.0 / 3;
  const double c = 1 / std::sqrt(9 * d);
  while (true) {
    const double x = normal(random);
    const double v = std::pow(1 + c * x, 3);
    const double u = 1 - uniform(random);
    if (v > 0 && std::log(u) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
  }
}

}  // namespace

double uniform(std::mt19937_64& random) { return static_cast<double>(random() >> 11) * 0x1p-53; }

uint64_t below(std::mt19937_64& random, uint64_t n) {
  return static_cast<uint64_t>(uniform(random) * static_cast<double>(n));
}

std::vector<double> arrival_times(int64_t n, double rate, double burstiness, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<double> times;
  double now = 0;
  for (int64_t i = 0; i < n; ++i) {
    times.push_back(now);
    now += gamma_variable(random, burstiness) / (burstiness * rate);
  }
  return times;
}

}  // namespace tq
