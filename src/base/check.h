// TQ_CHECK(condition, "message {}", args...): an invariant of ours, unreachable from input. Throws
// Error{kInternal}; the library never aborts.
#pragma once

#include "base/error.h"

#define TQ_CHECK(condition, ...)                                                                \
  do {                                                                                          \
    if (!(condition)) [[unlikely]] {                                                            \
      ::tq::fail(::tq::ErrorCode::kInternal, "{}:{}: check failed: {}: {}", __FILE__, __LINE__, \
                 #condition, ::fmt::format(__VA_ARGS__));                                       \
    }                                                                                           \
  } while (false)
