// For tests that limit time: what this thread has used, and whether the limit means anything in
// this build. Instruments slow down and take memory of their own: there only crashes and leaks
// count.
#pragma once

#include <ctime>

#include "support/sanitized.h"

namespace tq::fixtures {

#if defined(TQ_SANITIZED) || !defined(__OPTIMIZE__)
constexpr bool kMeasured = false;
#else
constexpr bool kMeasured = true;
#endif

// CPU time of the calling thread.
inline double thread_seconds() {
  std::timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

}  // namespace tq::fixtures
