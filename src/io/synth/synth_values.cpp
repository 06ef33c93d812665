#include "io/synth/synth_values.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <string>

namespace tq {
namespace {

constexpr int kLanes = 16;
// A value is the sum of four bytes, each uniform over 0..255: 510 on average, with this deviation.
constexpr int32_t kSumMean = 510;
constexpr float kSumDeviation = 147.80054f;  // sqrt(4 * (256^2 - 1) / 12)

// A bijection that spreads every bit of x over all others (the finaliser of MurmurHash3).
uint32_t mix(uint32_t x) {
  x = (x ^ (x >> 16)) * 0x85ebca6bu;
  x = (x ^ (x >> 13)) * 0xc2b2ae35u;
  return x ^ (x >> 16);
}

// Rounded to bf16, halves away from zero: an integer addition, so that the loop below vectorises.
float round_to_bf16(float value) {
  return std::bit_cast<float>((std::bit_cast<uint32_t>(value) + 0x8000u) & 0xffff0000u);
}

// Independent xorshift generators (Marsaglia, 2003) side by side: what is random enough here and
// runs in vector registers without multiplying integers.
struct Lanes {
  uint32_t state[kLanes];

  explicit Lanes(uint64_t seed) {
    const auto low = static_cast<uint32_t>(seed);
    const auto high = static_cast<uint32_t>(seed >> 32);
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      state[lane] = mix(mix(low + lane) ^ high) | 1u;  // xorshift never leaves 0
    }
  }

  void next(float mean, float scale, float* out) {
    for (int lane = 0; lane < kLanes; ++lane) {
      uint32_t x = state[lane];
      x ^= x << 13;
      x ^= x >> 17;
      x ^= x << 5;
      state[lane] = x;
      const uint32_t pairs = (x & 0x00ff00ffu) + ((x >> 8) & 0x00ff00ffu);
      const auto sum = static_cast<int32_t>((pairs & 0xffffu) + (pairs >> 16));
      out[lane] = round_to_bf16(mean + scale * static_cast<float>(sum - kSumMean));
    }
  }
};

}  // namespace

uint64_t synth_key(std::string_view model, std::string_view tensor) {
  std::string text(model);
  text += ':';
  text += tensor;
  return XXH3_64bits(text.data(), text.size());
}

void synth_row(uint64_t key, int64_t row, const SynthDistribution& distribution,
               std::span<float> out) {
  const auto number = static_cast<uint64_t>(row);
  Lanes lanes(XXH3_64bits_withSeed(&number, sizeof number, key));
  const float scale = distribution.deviation / kSumDeviation;
  while (out.size() >= kLanes) {
    lanes.next(distribution.mean, scale, out.data());
    out = out.subspan(kLanes);
  }
  float last[kLanes];
  lanes.next(distribution.mean, scale, last);
  std::copy_n(last, out.size(), out.begin());
}

}  // namespace tq
