// tq4: 16 centroids, 4.125 bits a weight at g = 128. Byte-compatible with the reference library.
#pragma once

#include <string_view>

#include "format/scalar_codec.h"

namespace tq {

struct Tq4 : ScalarCodec<4> {
  static constexpr std::string_view kName = "tq4";
};

}  // namespace tq
