// tq5: 32 Lloyd-Max centroids, 5.125 bits a weight at g = 128.
#pragma once

#include <string_view>

#include "format/scalar_codec.h"

namespace tq {

struct Tq5 : ScalarCodec<5> {
  static constexpr std::string_view kName = "tq5";
};

}  // namespace tq
