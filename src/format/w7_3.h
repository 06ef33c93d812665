// w7_3: a window of seven bits over indices of three, 3.125 bits a weight at g = 128: the bytes of
// tq3 with two thirds of its error.
#pragma once

#include <string_view>

#include "format/trellis.h"

namespace tq {

struct W7_3 : TrellisCodec<3> {
  static constexpr std::string_view kName = "w7_3";
};

}  // namespace tq
