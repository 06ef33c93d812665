// tq2: 4 centroids, 2.125 bits a weight at g = 128. Byte-compatible with the reference library.
#pragma once

#include <string_view>

#include "format/scalar_codec.h"

namespace tq {

struct Tq2 : ScalarCodec<2> {
  static constexpr std::string_view kName = "tq2";
};

}  // namespace tq
