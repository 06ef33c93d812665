// The values of synthetic tensors: pseudo-random weights that are a function of tensor and row
// alone, so that they can be made on the fly, in any order and by any thread, and are the same on
// every machine. Pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace tq {

// What a tensor's values look like: about normal, never further from the mean than 3.45 deviations.
struct SynthDistribution {
  float mean = 0;
  float deviation = 0;
};

// The number that makes a tensor's values its own.
uint64_t synth_key(std::string_view model, std::string_view tensor);

// Row `row` of the tensor with this key. Every value is exact in bf16.
void synth_row(uint64_t key, int64_t row, const SynthDistribution& distribution,
               std::span<float> out);

}  // namespace tq
