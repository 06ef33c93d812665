// The parts of the trellis formats' values, trained: bench/trellis_tables.cpp writes this
// file. What they mean is said in trellis.h.
#pragma once

#include <cstdint>

namespace tq {

struct TrellisParts3 {
  static constexpr int8_t kEarlier[] = {-11, 10};
  static constexpr int8_t kPrevious[] = {-21, 55, 11, 18, -16, -53, 23, -10};
  static constexpr int8_t kNewest[] = {-16, -2, 58, -33, 34, 3, 17, -58};
  static constexpr double kUnit = 0.024658380;  // of N(0, 1)
};

struct TrellisParts4 {
  static constexpr int8_t kPrevious[] = {-6, 12, 2, -36, -24, -15, 22, 38};
  static constexpr int8_t kNewest[] = {-85, -15, 9,  -56, 42, 0,  24,  -43,
                                       -7,  83,  33, -32, 17, 52, -23, 65};
  static constexpr double kUnit = 0.025402146;  // of N(0, 1)
};

}  // namespace tq
