// When requests of an open loop are sent.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace tq {

// A number in [0, 1) and a whole number below n (n > 0): the same on every machine and standard
// library, unlike those of <random>.
double uniform(std::mt19937_64& random);
uint64_t below(std::mt19937_64& random, uint64_t n);

// Seconds from the beginning at which n requests are sent, ascending, `rate` a second on average.
// The times between are of a gamma distribution of shape `burstiness` (> 0): 1 is a Poisson
// process, less comes in bursts, more is more even. The same seed gives the same times.
std::vector<double> arrival_times(int64_t n, double rate, double burstiness, uint64_t seed);

}  // namespace tq
