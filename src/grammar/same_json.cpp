#include "grammar/same_json.h"

#include <algorithm>

namespace tq {

bool same_json(const Json& a, const Json& b, int64_t* n_seen) {
  if (n_seen != nullptr) {
    *n_seen +=
        a.is_string() ? 1 + static_cast<int64_t>(a.get_ref<const std::string&>().size()) / 64 : 1;
  }
  if (a.is_object() && b.is_object()) {
    if (a.size() != b.size()) return false;
    for (auto member = a.begin(); member != a.end(); ++member) {
      const auto found = b.find(member.key());
      if (found == b.end() || !same_json(member.value(), *found, n_seen)) return false;
    }
    return true;
  }
  if (a.is_array() && b.is_array()) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [&](const Json& x, const Json& y) { return same_json(x, y, n_seen); });
  }
  return a == b;
}

bool has_same_json(const Json& list, const Json& value, int64_t* n_seen) {
  return std::any_of(list.begin(), list.end(),
                     [&](const Json& item) { return same_json(item, value, n_seen); });
}

}  // namespace tq
