// The only place that reads environment variables.
#pragma once

#include <string>

namespace tq {

// The value of NAME, or fallback when it is unset or empty.
std::string env_or(const char* name, const std::string& fallback);

}  // namespace tq
