#include "grammar/same_json.h"

#include <algorithm>

namespace tq {

bool same_json(const Json& a, const Json& b) {
  if (a.is_object() && b.is_object()) {
    if (a.size() != b.size()) return false;
    for (auto member = a.begin(); member != a.end(); ++member) {
      const auto found = b.find(member.key());
      if (found == b.end() || !same_json(member.value(), *found)) return false;
    }
    return true;
  }
  if (a.is_array() && b.is_array()) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), same_json);
  }
  return a == b;
}

bool has_same_json(const Json& list, const Json& value) {
  return std::any_of(list.begin(), list.end(),
                     [&](const Json& item) { return same_json(item, value); });
}

}  // namespace tq
