// tq6: 64 equally spaced centroids, 6.125 bits a weight at g = 128.
#pragma once

#include <string_view>

#include "format/scalar_codec.h"

namespace tq {

struct Tq6 : ScalarCodec<6> {
  static constexpr std::string_view kName = "tq6";
};

}  // namespace tq
