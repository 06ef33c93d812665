// The compressed KV formats kXvY: keys of X bits and values of Y, as the weight formats tqX store a
// row. A head's vector is cut into groups of 128, 64 or 32 numbers, each rotated (hadamard.h),
// coded with the Lloyd-Max or uniform codebook of its width and given one f16 gain; docs/formats.md
// has the codec. Pure functions; thread safe.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/float16.h"
#include "base/host_device.h"
#include "format/hadamard.h"
#include "format/scalar_codec.h"

namespace tq {

// The numbers that share a gain and a rotation, in vectors of dim numbers; 0: there are no codes
// for vectors of that size.
TQ_HOST_DEVICE constexpr int kv_group(int64_t dim) {
  return dim % 32 != 0 || dim == 0 ? 0 : dim % 128 == 0 ? 128 : dim % 64 == 0 ? 64 : 32;
}

// The largest f16: a larger gain would be infinite.
constexpr float kLargestKvGain = 65504;
// The gain of numbers without a length: NaN.
constexpr uint16_t kKvNan = 0x7e00;

// kUnbiased: inner products with vectors that know nothing of the codes' error are right on
// average (keys, of which softmax takes products); otherwise lengths are (values, which are added).
template <int kCodeBits, bool kUnbiased>
struct RotatedVectors {
  static constexpr InputForm kBasis = InputForm::kRotated;
  static constexpr int kBits = kCodeBits;
  // By the shrinkage correction of EncodeOptions: 1 removes the bias, 1/2 restores the norm.
  static constexpr EncodeOptions kEncode = {Effort::kFast, kUnbiased ? 1.0f : 0.5f};

  static constexpr bool takes(int64_t dim) { return kv_group(dim) > 0; }
  static constexpr int64_t code_bytes(int64_t dim) { return packed_bytes(dim, kBits); }
  static constexpr int64_t n_gains(int64_t dim) { return dim / std::max(kv_group(dim), 32); }

  static void store(const float* x, int64_t dim, uint8_t* codes, uint16_t* gains) {
    const int group = kv_group(dim);
    for (int64_t first = 0; first < dim; first += group, ++gains) {
      uint8_t* const group_codes = codes + packed_bytes(first, kBits);
      // Numbers without a length have no codes: the gain says so, whatever they are.
      if (!std::all_of(x + first, x + first + group, [](float v) { return std::isfinite(v); })) {
        std::memset(group_codes, 0, static_cast<size_t>(packed_bytes(group, kBits)));
        *gains = kKvNan;
        continue;
      }
      float gain = 0;
      encode_scalar_row(kBits, x + first, group, group, kEncode, group_codes, &gain);
      *gains = f32_to_f16(std::min(gain, kLargestKvGain));
    }
  }

  // In the basis that codes are in.
  static void load_rotated(const uint8_t* codes, const uint16_t* gains, int64_t dim, float* out) {
    ScalarCodec<kBits>::decode_row(codes, gains, dim, kv_group(dim), out);
  }

  static void load(const uint8_t* codes, const uint16_t* gains, int64_t dim, float* out) {
    load_rotated(codes, gains, dim, out);
    const int group = kv_group(dim);
    for (int64_t first = 0; first < dim; first += group) unrotate_group(out + first, group);
  }
};

template <int kKeyBits, int kValueBits>
struct RotatedKv {
  using Keys = RotatedVectors<kKeyBits, true>;
  using Values = RotatedVectors<kValueBits, false>;
};

struct KvK8V8 : RotatedKv<8, 8> {
  static constexpr std::string_view kName = "k8v8";
};
struct KvK8V4 : RotatedKv<8, 4> {
  static constexpr std::string_view kName = "k8v4";
};
struct KvK5V4 : RotatedKv<5, 4> {
  static constexpr std::string_view kName = "k5v4";
};
struct KvK4V4 : RotatedKv<4, 4> {
  static constexpr std::string_view kName = "k4v4";
};
struct KvK4V3 : RotatedKv<4, 3> {
  static constexpr std::string_view kName = "k4v3";
};
struct KvK4V2 : RotatedKv<4, 2> {
  static constexpr std::string_view kName = "k4v2";
};
struct KvK3V3 : RotatedKv<3, 3> {
  static constexpr std::string_view kName = "k3v3";
};

}  // namespace tq
