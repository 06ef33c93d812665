#include "text/jinja/value.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/log.h"

namespace tq::jinja {
namespace {

// What a shared object takes beside its contents.
constexpr size_t kObjectBytes = 96;

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

Value Value::iterator(std::vector<Value> items, std::exception_ptr failure) {
  const int depth = depth_over(items);
  Lease lease(items.capacity() * sizeof(Value) + kObjectBytes);
  Value value;
  value.v_ = std::make_shared<const List>(
      List{std::move(items), ListKind::kIterator, depth, 0, std::move(lease), std::move(failure)});
  return value;
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

}  // namespace tq::jinja
