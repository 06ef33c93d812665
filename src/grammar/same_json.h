// Equality of values as JSON has it: members of objects in any order.
#pragma once

#include "base/json.h"

namespace tq {

bool same_json(const Json& a, const Json& b);
// Whether one of the list's values is the same.
bool has_same_json(const Json& list, const Json& value);

}  // namespace tq
