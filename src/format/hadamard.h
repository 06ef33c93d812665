// The random-sign Walsh-Hadamard rotation y = D2 * H * D1 * x / sqrt(g) over one group, and its
// inverse x = D1 * H * D2 * y / sqrt(g). One sign pair per group size for the whole model; see
// docs/formats.md.
#pragma once

#include <cstdint>
#include <span>

namespace tq {

constexpr uint32_t kRotationSeed = 42;

struct RotationSigns {
  std::span<const float> d1;  // +1 / -1, [g]
  std::span<const float> d2;
};

// Signs for g = 32, 64, 128 or 256 (std::mt19937(seed), first g draws D1, next g draws D2).
const RotationSigns& rotation_signs(int group);

// In place over one group of g floats. fp32 throughout, butterflies at strides 1, 2, 4 .. g/2, one
// multiply by 1/sqrt(g): the order of operations is part of the format (bit-exact encoding).
void rotate_group(float* x, int group);
void unrotate_group(float* y, int group);

}  // namespace tq
