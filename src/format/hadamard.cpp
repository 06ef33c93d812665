#include "format/hadamard.h"

#include <array>
#include <cmath>
#include <random>

#include "base/check.h"

namespace tq {
namespace {

constexpr int kMaxGroup = 256;

struct SignTable {
  alignas(64) std::array<float, kMaxGroup> d1{};
  alignas(64) std::array<float, kMaxGroup> d2{};
  RotationSigns signs;

  explicit SignTable(int group) {
    std::mt19937 draw(kRotationSeed);
    for (int i = 0; i < group; ++i) d1[i] = (draw() & 1u) != 0 ? 1.0f : -1.0f;
    for (int i = 0; i < group; ++i) d2[i] = (draw() & 1u) != 0 ? 1.0f : -1.0f;
    const auto n = static_cast<size_t>(group);
    signs = {{d1.data(), n}, {d2.data(), n}};
  }
  SignTable(const SignTable&) = delete;  // the spans point into this object
  SignTable& operator=(const SignTable&) = delete;
};

// x <- post * H * pre * x / sqrt(kGroup). The group is a template argument so that compilers unroll
// and vectorise the butterflies.
template <int kGroup>
void signed_hadamard(float* x, const float* pre, const float* post) {
  alignas(64) float v[kGroup];
  for (int i = 0; i < kGroup; i += 4) {  // strides 1 and 2: within four neighbours
    const float a = x[i] * pre[i], b = x[i + 1] * pre[i + 1];
    const float c = x[i + 2] * pre[i + 2], d = x[i + 3] * pre[i + 3];
    const float ab = a + b, a_b = a - b, cd = c + d, c_d = c - d;
    v[i] = ab + cd;
    v[i + 1] = a_b + c_d;
    v[i + 2] = ab - cd;
    v[i + 3] = a_b - c_d;
  }
  for (int stride = 4; stride < kGroup; stride *= 2) {
    for (int block = 0; block < kGroup; block += 2 * stride) {
      for (int i = block; i < block + stride; ++i) {
        const float a = v[i], b = v[i + stride];
        v[i] = a + b;
        v[i + stride] = a - b;
      }
    }
  }
  const auto scale = static_cast<float>(1 / std::sqrt(double{kGroup}));
  for (int i = 0; i < kGroup; ++i) x[i] = v[i] * scale * post[i];
}

void signed_hadamard(float* x, int group, const float* pre, const float* post) {
  switch (group) {
    case 32:
      return signed_hadamard<32>(x, pre, post);
    case 64:
      return signed_hadamard<64>(x, pre, post);
    case 128:
      return signed_hadamard<128>(x, pre, post);
    case 256:
      return signed_hadamard<256>(x, pre, post);
    default:
      TQ_CHECK(false, "no rotation for groups of {}", group);
  }
}

}  // namespace

const RotationSigns& rotation_signs(int group) {
  static const SignTable tables[] = {SignTable(32), SignTable(64), SignTable(128), SignTable(256)};
  for (const SignTable& table : tables) {
    if (static_cast<int>(table.signs.d1.size()) == group) return table.signs;
  }
  fail(ErrorCode::kInternal, "no rotation for groups of {}", group);
}

void rotate_group(float* x, int group) {
  const RotationSigns& signs = rotation_signs(group);
  signed_hadamard(x, group, signs.d1.data(), signs.d2.data());
}

void unrotate_group(float* y, int group) {
  const RotationSigns& signs = rotation_signs(group);
  signed_hadamard(y, group, signs.d2.data(), signs.d1.data());
}

}  // namespace tq
