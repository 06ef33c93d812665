// Which values are equal, which comes first, and the dictionary, which finds by equality.
#include <algorithm>

#include "base/error.h"
#include "text/jinja/value.h"

namespace tq::jinja {
namespace {

bool same_object(const Value& a, const Value& b) {
  if (a.is_string()) return a.as_string() == b.as_string();
  if (a.as_list() != nullptr) return a.as_list() == b.as_list();
  return a.as_dict() == b.as_dict();
}

bool is_sequence(const List& list) {
  return list.kind == ListKind::kList || list.kind == ListKind::kTuple;
}

bool equal_lists(const List& a, const List& b) {
  if (a.kind != b.kind || a.kind == ListKind::kIterator) return false;
  return std::equal(a.items.begin(), a.items.end(), b.items.begin(), b.items.end(), equal);
}

bool equal_dicts(const Dict& a, const Dict& b) {
  if (a.size() != b.size()) return false;
  return std::all_of(a.entries().begin(), a.entries().end(), [&](const auto& entry) {
    const Value* other = b.find(entry.first);
    return other != nullptr && equal(entry.second, *other);
  });
}

// Whether Python can hash what the key itself is; items of tuples are looked at when hashed.
bool is_hashable(const Value& key) {
  const List* list = key.as_list();
  return key.as_dict() == nullptr &&
         (list == nullptr || (list->kind != ListKind::kList && list->kind != ListKind::kView));
}

}  // namespace

size_t Dict::Hash::operator()(const Value& key) const {
  if (!is_hashable(key)) {
    fail(ErrorCode::kInvalidArgument, "chat template: unhashable dict key of type {}",
         key.type_name());
  }
  if (const std::string* s = key.as_string()) {
    charge_scan(s->size());
    return std::hash<std::string>()(*s);
  }
  if (key.is_number()) return std::hash<double>()(key.to_double());
  if (const List* list = key.as_list()) {
    if (list->kind == ListKind::kIterator) return std::hash<const void*>()(list);
    size_t hash = list->items.size();
    charge_steps(hash);
    for (const Value& item : list->items) hash = hash * 1'000'003 ^ (*this)(item);
    return hash;
  }
  return key.variant().index();
}

bool Dict::Equal::operator()(const Value& a, const Value& b) const { return equal(a, b); }

const Value* Dict::find(const Value& key) const {
  if (entries_.empty()) (void)Hash()(key);  // a small map may not hash
  const auto it = index_.find(key);
  return it == index_.end() ? nullptr : &entries_[it->second].second;
}

void Dict::set(Value key, Value value) {
  const int depth = std::max(key.depth(), value.depth());
  if (depth >= kMaxValueDepth) {
    fail(ErrorCode::kUnsupported, "chat template: values nested deeper than {}", kMaxValueDepth);
  }
  const auto found = index_.find(key);
  depth_ = std::max(depth_, depth + 1);
  if (found != index_.end()) {
    entries_[found->second].second = std::move(value);
    return;
  }
  // An entry, which vectors hold up to twice while they grow, and a node with its bucket.
  lease_.grow(3 * sizeof(entries_[0]) + sizeof(Value) + 64);
  index_.emplace(key, entries_.size());
  entries_.emplace_back(std::move(key), std::move(value));
}

void Dict::clear() {
  index_.clear();
  entries_.clear();
}

bool equal(const Value& a, const Value& b) {
  charge_steps(1);
  if (a.is_number() && b.is_number()) {
    if (a.is_float() || b.is_float()) return a.to_double() == b.to_double();
    return a.to_int() == b.to_int();
  }
  if (a.variant().index() != b.variant().index()) return false;
  if (a.is_undefined() || a.is_none()) return true;
  if (a.as_callable() != nullptr) return a.as_callable() == b.as_callable();
  if (a.as_namespace() != nullptr) return a.as_namespace() == b.as_namespace();
  if (const auto loop = a.as_loop()) return loop == b.as_loop();
  if (same_object(a, b)) return true;
  if (const std::string* s = a.as_string()) {
    if (s->size() != b.as_string()->size()) return false;
    charge_scan(s->size());
    return *s == *b.as_string();
  }
  if (const List* list = a.as_list()) return equal_lists(*list, *b.as_list());
  return equal_dicts(*a.as_dict(), *b.as_dict());
}

int compare(const Value& a, const Value& b) {
  charge_steps(1);
  if (a.is_number() && b.is_number()) {
    if (!a.is_float() && !b.is_float()) {
      return a.to_int() < b.to_int() ? -1 : a.to_int() > b.to_int();
    }
    return a.to_double() < b.to_double() ? -1 : a.to_double() > b.to_double();
  }
  // UTF-8 byte order is code point order.
  if (a.is_string() && b.is_string()) {
    charge_scan(std::min(a.as_string()->size(), b.as_string()->size()));
    return a.as_string()->compare(*b.as_string());
  }
  const List* left = a.as_list();
  const List* right = b.as_list();
  if (left != nullptr && right != nullptr && left->kind == right->kind && is_sequence(*left)) {
    for (size_t i = 0; i < std::min(left->items.size(), right->items.size()); ++i) {
      if (!equal(left->items[i], right->items[i])) return compare(left->items[i], right->items[i]);
    }
    return left->items.size() < right->items.size() ? -1 : left->items.size() > right->items.size();
  }
  fail(ErrorCode::kInvalidArgument, "chat template: cannot order {} and {}", a.type_name(),
       b.type_name());
}

}  // namespace tq::jinja
