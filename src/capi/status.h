// What every function of the C interface does with errors: none leaves it but as a status.
#pragma once

#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "turboquant/turboquant.h"

namespace tq::capi {

// Keeps the message for tq_last_error().
tq_status failed(ErrorCode code, const char* message) noexcept;
// Of the exception that is being handled.
tq_status failed_with_current() noexcept;

// Runs what a function does. TQ_OK, or what it threw.
template <typename Run>
tq_status guarded(Run&& run) noexcept {
  try {
    std::forward<Run>(run)();
    return TQ_OK;
  } catch (...) {
    return failed_with_current();
  }
}

// Throws kInvalidArgument.
template <typename T>
void require(const T* pointer, const char* name) {
  if (pointer == nullptr) fail(ErrorCode::kInvalidArgument, "{} is NULL", name);
}

// For the caller, who frees it.
char* copy_text(std::string_view text);

// A text of the caller's that must be JSON. Throws kInvalidArgument.
Json read_json(const char* text, const char* name);

}  // namespace tq::capi
