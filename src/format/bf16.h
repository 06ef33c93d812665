// bf16: the upper half of an fp32, 8 bits of precision and the full range.
#pragma once

#include <string_view>

#include "base/float16.h"
#include "format/half_codec.h"

namespace tq {

struct Bf16 : HalfCodec<f32_to_bf16, bf16_to_f32> {
  static constexpr std::string_view kName = "bf16";
};

}  // namespace tq
