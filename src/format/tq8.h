// tq8: 256 equally spaced centroids, 8.125 bits a weight at g = 128: heads and embeddings.
#pragma once

#include <string_view>

#include "format/scalar_codec.h"

namespace tq {

struct Tq8 : ScalarCodec<8> {
  static constexpr std::string_view kName = "tq8";
};

}  // namespace tq
