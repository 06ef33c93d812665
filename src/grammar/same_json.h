// Equality of values as JSON has it: members of objects in any order.
#pragma once

#include <cstdint>

#include "base/json.h"

namespace tq {

// Adds to `n_seen`, where given, how many values were looked at: texts of 64 bytes count as one.
bool same_json(const Json& a, const Json& b, int64_t* n_seen = nullptr);
// Whether one of the list's values is the same.
bool has_same_json(const Json& list, const Json& value, int64_t* n_seen = nullptr);

}  // namespace tq
