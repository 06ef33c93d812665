// w7_4: a window of seven bits over indices of four, 4.125 bits a weight at g = 128: the bytes of
// tq4 with three quarters of its error.
#pragma once

#include <string_view>

#include "format/trellis.h"

namespace tq {

struct W7_4 : TrellisCodec<4> {
  static constexpr std::string_view kName = "w7_4";
};

}  // namespace tq
