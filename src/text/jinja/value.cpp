#include "text/jinja/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/log.h"

namespace tq::jinja {
namespace {

// What a shared object takes beside its contents.
constexpr size_t kObjectBytes = 96;

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

}  // namespace

int depth_over(const std::vector<Value>& values) {
  charge_steps(values.size() / 4 + 1);
  int depth = 0;
  for (const Value& value : values) depth = std::max(depth, value.depth());
  if (depth >= kMaxValueDepth) {
    fail(ErrorCode::kUnsupported, "chat template: values nested deeper than {}", kMaxValueDepth);
  }
  return depth + 1;
}

Value::Value(std::string s) {
  charge_scan(s.size());
  Lease lease(s.capacity() + kObjectBytes);
  v_ = std::make_shared<const Text>(Text{std::move(s), false, std::move(lease)});
}

Value Value::markup(std::string s) {
  Lease lease(s.capacity() + kObjectBytes);
  Value value;
  value.v_ = std::make_shared<const Text>(Text{std::move(s), true, std::move(lease)});
  return value;
}

bool Value::is_markup() const {
  const auto* p = std::get_if<std::shared_ptr<const Text>>(&v_);
  return p != nullptr && (*p)->is_markup;
}

Value::Value(std::vector<Value> items, ListKind kind) {
  const int depth = depth_over(items);
  Lease lease(items.capacity() * sizeof(Value) + kObjectBytes);
  v_ = std::make_shared<const List>(List{std::move(items), kind, depth, 0, std::move(lease)});
}

Value::Value(Dict dict) : v_(std::make_shared<const Dict>(std::move(dict))) {}
Value::Value(Callable callable) : v_(std::make_shared<const Callable>(std::move(callable))) {}

Value Value::undefined(std::string_view what) {
  constexpr size_t kLongest = 200;
  Value value;
  value.v_ = Undefined{std::make_shared<const std::string>(what.substr(0, kLongest))};
  return value;
}

std::string_view Value::why_undefined() const {
  const auto* undefined = std::get_if<Undefined>(&v_);
  if (undefined == nullptr || undefined->what == nullptr) return "a value is undefined";
  return *undefined->what;
}

Value Value::from_json(const Json& json) {
  switch (json.type()) {
    case Json::value_t::boolean:
      return Value(json.get<bool>());
    case Json::value_t::number_integer:
      return Value(json.get<int64_t>());
    case Json::value_t::number_unsigned: {
      const auto number = json.get<uint64_t>();
      if (number > static_cast<uint64_t>(INT64_MAX)) {
        const auto nearest = static_cast<double>(number);
        warn("a template sees {} as {:.17g}: its integers have 64 bits with a sign", number,
             nearest);
        return Value(nearest);
      }
      return Value(static_cast<int64_t>(number));
    }
    case Json::value_t::number_float:
      return Value(json.get<double>());
    case Json::value_t::string:
      return Value(json.get<std::string>());
    case Json::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const Json& item : json) items.push_back(from_json(item));
      return Value(std::move(items));
    }
    case Json::value_t::object: {
      Dict dict;
      for (const auto& [key, item] : json.items())
        dict.set(Value(std::string(key)), from_json(item));
      return Value(std::move(dict));
    }
    default:
      return Value(nullptr);
  }
}

const std::string* Value::as_string() const {
  const auto* p = std::get_if<std::shared_ptr<const Text>>(&v_);
  return p == nullptr ? nullptr : &(*p)->text;
}
const List* Value::as_list() const {
  const auto* p = std::get_if<std::shared_ptr<const List>>(&v_);
  return p == nullptr ? nullptr : p->get();
}
const Dict* Value::as_dict() const {
  const auto* p = std::get_if<std::shared_ptr<const Dict>>(&v_);
  return p == nullptr ? nullptr : p->get();
}
const Callable* Value::as_callable() const {
  const auto* p = std::get_if<std::shared_ptr<const Callable>>(&v_);
  return p == nullptr ? nullptr : p->get();
}
Namespace* Value::as_namespace() const {
  const auto* p = std::get_if<std::shared_ptr<Namespace>>(&v_);
  return p == nullptr ? nullptr : p->get();
}
std::shared_ptr<Loop> Value::as_loop() const {
  const auto* p = std::get_if<std::shared_ptr<Loop>>(&v_);
  return p == nullptr ? nullptr : *p;
}

int Value::depth() const {
  if (const List* list = as_list()) return list->depth;
  if (const Dict* dict = as_dict()) return dict->depth();
  if (const Callable* callable = as_callable()) return callable->depth;
  const auto* loop = std::get_if<std::shared_ptr<Loop>>(&v_);
  return loop == nullptr ? 0 : (*loop)->depth;
}

int64_t Value::to_int() const {
  if (const bool* b = std::get_if<bool>(&v_)) return *b ? 1 : 0;
  if (const double* d = std::get_if<double>(&v_)) {
    if (!(std::fabs(*d) < 9.2e18)) {
      fail(ErrorCode::kInvalidArgument, "chat template: {} is no integer", float_repr(*d));
    }
    return static_cast<int64_t>(*d);
  }
  const int64_t* i = std::get_if<int64_t>(&v_);
  if (i == nullptr) {
    fail(ErrorCode::kInvalidArgument, "chat template: expected a number, not {}", type_name());
  }
  return *i;
}

double Value::to_double() const {
  if (const double* d = std::get_if<double>(&v_)) return *d;
  return static_cast<double>(to_int());
}

bool Value::truthy() const {
  if (is_undefined() || is_none()) return false;
  if (is_float()) return to_double() != 0;
  if (is_number()) return to_int() != 0;
  if (const std::string* s = as_string()) return !s->empty();
  if (const List* list = as_list()) {
    return list->kind == ListKind::kIterator || !list->items.empty();
  }
  if (const Dict* dict = as_dict()) return dict->size() > 0;
  return true;
}

std::string_view Value::type_name() const {
  static constexpr std::string_view kNames[] = {"Undefined", "NoneType",  "bool", "int",
                                                "float",     "str",       "list", "dict",
                                                "function",  "Namespace", "loop"};
  static constexpr std::string_view kListNames[] = {"list", "tuple", "generator", "dict view",
                                                    "range"};
  if (const List* list = as_list()) return kListNames[static_cast<size_t>(list->kind)];
  return kNames[v_.index()];
}

// ---- dict

namespace {

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

// ---- order

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
