// tq3: 8 centroids, 3.125 bits a weight at g = 128. Byte-compatible with the reference library.
#pragma once

#include <string_view>

#include "format/scalar_codec.h"

namespace tq {

struct Tq3 : ScalarCodec<3> {
  static constexpr std::string_view kName = "tq3";
};

}  // namespace tq
