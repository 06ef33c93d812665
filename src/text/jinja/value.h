// Values of the Jinja interpreter, with the semantics of Python's: undefined, None, bool, int,
// float, str, list (and tuple), dict, callables and namespaces. Cheap to copy: strings, lists and
// dicts are shared and, but for namespaces, never changed after they were made. Used by one render
// at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "base/json.h"

namespace tq::jinja {

class Value;
class Interpreter;

struct List;
class Dict;
struct Callable;
struct Namespace;

struct Undefined {
  std::string what;  // for messages: "'x' is undefined"
};

class Value {
 public:
  using Variant = std::variant<Undefined, std::nullptr_t, bool, int64_t, double,
                               std::shared_ptr<const std::string>, std::shared_ptr<const List>,
                               std::shared_ptr<const Dict>, std::shared_ptr<const Callable>,
                               std::shared_ptr<Namespace>>;

  Value() = default;
  explicit Value(std::nullptr_t) : v_(nullptr) {}
  explicit Value(bool b) : v_(b) {}
  explicit Value(int64_t i) : v_(i) {}
  explicit Value(double d) : v_(d) {}
  explicit Value(std::string s) : v_(std::make_shared<const std::string>(std::move(s))) {}
  explicit Value(std::vector<Value> items, bool tuple = false);
  explicit Value(Dict dict);
  explicit Value(Callable callable);
  explicit Value(std::shared_ptr<Namespace> ns) : v_(std::move(ns)) {}
  static Value undefined(std::string what);
  static Value from_json(const Json& json);

  const Variant& variant() const { return v_; }
  bool is_undefined() const { return std::holds_alternative<Undefined>(v_); }
  bool is_none() const { return std::holds_alternative<std::nullptr_t>(v_); }
  bool is_bool() const { return std::holds_alternative<bool>(v_); }
  bool is_int() const { return std::holds_alternative<int64_t>(v_); }  // not bool
  bool is_float() const { return std::holds_alternative<double>(v_); }
  bool is_number() const { return is_bool() || is_int() || is_float(); }
  bool is_string() const { return as_string() != nullptr; }
  const std::string* as_string() const;
  const List* as_list() const;
  const Dict* as_dict() const;
  const Callable* as_callable() const;
  Namespace* as_namespace() const;
  int64_t to_int() const;    // of a number; bools are 0 and 1
  double to_double() const;  // of a number

  bool truthy() const;
  std::string_view type_name() const;  // Python's: "str", "list", ...
  std::string to_string() const;       // Python's str(); undefined is ""
  std::string repr() const;            // Python's repr()

 private:
  Variant v_;
};

struct List {
  std::vector<Value> items;
  bool tuple = false;  // prints with parentheses, nothing else differs
};

// A dict in insertion order. Keys that Python holds equal (1, 1.0, True) are one key.
class Dict {
 public:
  const Value* find(const Value& key) const;
  void set(Value key, Value value);
  const std::vector<std::pair<Value, Value>>& entries() const { return entries_; }
  size_t size() const { return entries_.size(); }
  void clear();

 private:
  std::vector<std::pair<Value, Value>> entries_;
  std::unordered_map<std::string, size_t> index_;
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

struct Callable {
  std::string name;
  std::function<Value(Interpreter&, Arguments&)> call;
};

// namespace(...): the one object whose attributes a template may set.
struct Namespace {
  Dict attributes;
};

bool equal(const Value& a, const Value& b);
// Negative, zero or positive; throws kInvalidArgument for types that Python does not order.
int compare(const Value& a, const Value& b);

// Python's repr() of a float: shortest digits, always with a point or an exponent.
std::string float_repr(double value);

struct JsonStyle {
  int indent = -1;  // -1: one line
  bool sort_keys = false;
  bool ensure_ascii = false;
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};
// json.dumps(value); throws kInvalidArgument for what JSON cannot hold.
std::string to_json(const Value& value, const JsonStyle& style);

}  // namespace tq::jinja
