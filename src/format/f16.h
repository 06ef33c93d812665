// f16: IEEE half. Values of 65520 and more become infinite: check before choosing it.
#pragma once

#include <string_view>

#include "base/float16.h"
#include "format/half_codec.h"

namespace tq {

struct F16 : HalfCodec<f32_to_f16, f16_to_f32> {
  static constexpr std::string_view kName = "f16";
};

}  // namespace tq
