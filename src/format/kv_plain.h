// The KV formats f32, f16 and bf16: vectors number by number, as the weight formats of these names
// store a row. Pure functions; thread safe.
#pragma once

#include <cstdint>
#include <string_view>

#include "format/bf16.h"
#include "format/f16.h"
#include "format/f32.h"

namespace tq {

// Vectors as rows of F, a weight format without gains.
template <typename F>
struct PlainVectors {
  static_assert(F::kInput == InputForm::kPlain && !F::kHasScales);
  static constexpr InputForm kBasis = InputForm::kPlain;
  static constexpr bool takes(int64_t /*dim*/) { return true; }
  static constexpr int64_t code_bytes(int64_t dim) { return F::code_row_bytes(dim); }
  static constexpr int64_t n_gains(int64_t /*dim*/) { return 0; }
  static void store(const float* x, int64_t dim, uint8_t* codes, uint16_t* /*gains*/) {
    F::encode_row(x, dim, 0, {}, codes, nullptr);
  }
  static void load(const uint8_t* codes, const uint16_t* /*gains*/, int64_t dim, float* out) {
    F::decode_row(codes, nullptr, dim, 0, out);
  }
};

struct KvF32 {
  static constexpr std::string_view kName = F32::kName;
  using Keys = PlainVectors<F32>;
  using Values = PlainVectors<F32>;
};

struct KvF16 {
  static constexpr std::string_view kName = F16::kName;
  using Keys = PlainVectors<F16>;
  using Values = PlainVectors<F16>;
};

struct KvBf16 {
  static constexpr std::string_view kName = Bf16::kName;
  using Keys = PlainVectors<Bf16>;
  using Values = PlainVectors<Bf16>;
};

}  // namespace tq
