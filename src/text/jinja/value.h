// Values of the Jinja interpreter, with the semantics of Python's: undefined, None, bool, int,
// float, str, list (tuple, iterator, ...), dict, callables, namespaces and loops. Cheap to copy:
// strings, lists and dicts are shared and, but for namespaces, never changed after they were made.
// Made during a render, they hold bytes of its budget. Used by one render at a time.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "base/json.h"
#include "text/jinja/budget.h"

namespace tq::jinja {

class Value;
class Interpreter;

struct Text;
struct List;
class Dict;
struct Callable;
struct Namespace;
struct Loop;

// Containers hold containers at most this deep, which bounds every recursion over values:
// comparing, printing, hashing, destroying. (Namespaces may hold themselves: only printing looks
// into them, with a guard of its own, and the interpreter empties them.)
constexpr int kMaxValueDepth = 200;

struct Undefined {
  std::shared_ptr<const std::string> what;  // for messages: "'x' is undefined"; may be null
};

// What Python makes of a list of items.
enum class ListKind {
  kList,
  kTuple,
  kIterator,  // of filters that Jinja computes lazily: true, without a length, gone once read
  kView,      // keys(), values() and items() of a dict
  kRange,
};

class Value {
 public:
  using Variant = std::variant<Undefined, std::nullptr_t, bool, int64_t, double,
                               std::shared_ptr<const Text>, std::shared_ptr<const List>,
                               std::shared_ptr<const Dict>, std::shared_ptr<const Callable>,
                               std::shared_ptr<Namespace>, std::shared_ptr<Loop>>;

  Value() = default;
  explicit Value(std::nullptr_t) : v_(nullptr) {}
  explicit Value(bool b) : v_(b) {}
  explicit Value(int64_t i) : v_(i) {}
  explicit Value(double d) : v_(d) {}
  explicit Value(std::string s);
  explicit Value(std::string_view s) : Value(std::string(s)) {}
  explicit Value(const char* s) : Value(std::string(s)) {}
  // These throw kUnsupported when it is nested deeper than kMaxValueDepth.
  explicit Value(std::vector<Value> items, ListKind kind = ListKind::kList);
  explicit Value(Dict dict);
  explicit Value(Callable callable);
  explicit Value(std::shared_ptr<Namespace> ns) : v_(std::move(ns)) {}
  explicit Value(std::shared_ptr<Loop> loop) : v_(std::move(loop)) {}
  static Value undefined(std::string_view what);
  static Value markup(std::string s);
  // What a generator gives: these items, then `failure` is thrown at whoever reads on; may be null.
  static Value iterator(std::vector<Value> items, std::exception_ptr failure = nullptr);
  static Value from_json(const Json& json);

  const Variant& variant() const { return v_; }
  bool is_undefined() const { return std::holds_alternative<Undefined>(v_); }
  bool is_none() const { return std::holds_alternative<std::nullptr_t>(v_); }
  bool is_bool() const { return std::holds_alternative<bool>(v_); }
  bool is_int() const { return std::holds_alternative<int64_t>(v_); }  // not bool
  bool is_float() const { return std::holds_alternative<double>(v_); }
  bool is_number() const { return is_bool() || is_int() || is_float(); }
  bool is_string() const { return std::holds_alternative<std::shared_ptr<const Text>>(v_); }
  bool is_markup() const;
  const std::string* as_string() const;
  const List* as_list() const;
  const Dict* as_dict() const;
  const Callable* as_callable() const;
  Namespace* as_namespace() const;
  std::shared_ptr<Loop> as_loop() const;
  int64_t to_int() const;    // of a number; bools are 0 and 1
  double to_double() const;  // of a number
  // Why an undefined value is that.
  std::string_view why_undefined() const;

  bool truthy() const;
  std::string_view type_name() const;     // Python's: "str", "list", ...
  std::string to_string() const;          // Python's str(); undefined is ""
  std::string repr() const;               // Python's repr()
  std::string short_repr() const;         // for messages: at most about 100 bytes
  void write_to(TextBuilder& out) const;  // to_string() appended
  int depth() const;                      // of containers: 0 for what holds no values

 private:
  Variant v_;
};

struct Text {
  std::string text;
  bool is_markup = false;  // of `safe` and `escape`: what is added to it is escaped
  Lease lease;
};

struct List {
  std::vector<Value> items;
  ListKind kind = ListKind::kList;
  int depth = 1;
  mutable size_t n_read = 0;  // kIterator: items that were taken from it
  Lease lease;
  std::exception_ptr failure = nullptr;  // kIterator: why there are no more; null: they end

  bool is_tuple() const { return kind == ListKind::kTuple; }
};

// A dict in insertion order. Keys that Python holds equal (1, 1.0, True) are one key.
class Dict {
 public:
  // Null where there is none. Throws kInvalidArgument for keys that Python cannot hash.
  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const { return find(Value(key)); }
  void set(Value key, Value value);
  const std::vector<std::pair<Value, Value>>& entries() const { return entries_; }
  size_t size() const { return entries_.size(); }
  int depth() const { return depth_; }
  void clear();

 private:
  struct Hash {
    size_t operator()(const Value& key) const;
  };
  struct Equal {
    bool operator()(const Value& a, const Value& b) const;
  };
  Lease lease_;  // first: a copy holds its bytes before they are copied
  int depth_ = 1;
  std::vector<std::pair<Value, Value>> entries_;
  std::unordered_map<Value, size_t, Hash, Equal> index_;
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

struct Callable {
  std::string name;
  std::function<Value(Interpreter&, Arguments&)> call;
  int depth = 0;  // of the values that `call` holds
  Lease lease = Lease(256);
};

// namespace(...): the one object whose attributes a template may set.
struct Namespace {
  Dict attributes;
  Lease lease = Lease(256);
};

// The variable `loop` inside of {% for %}.
struct Loop {
  std::vector<Value> items;
  size_t index = 0;
  int depth = 1;
  int nesting = 0;  // of for loops around it
  bool ended = false;
  std::vector<Value> last;  // what changed() was called with
  bool has_last = false;
  Lease lease;
};

// text with & < > " ' as HTML has them.
std::string escape_html(std::string_view text);

bool equal(const Value& a, const Value& b);
// Negative, zero or positive; throws kInvalidArgument for types that Python does not order.
int compare(const Value& a, const Value& b);

// Python's repr() of a float: shortest digits, always with a point or an exponent.
std::string float_repr(double value);

// 1 + the depth of the deepest of values. Throws kUnsupported past kMaxValueDepth.
int depth_over(const std::vector<Value>& values);

struct JsonStyle {
  bool multiline = false;  // indent was given: items on lines of their own
  std::string indent;      // of one level
  bool sort_keys = false;
  bool ensure_ascii = false;
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};
// json.dumps(value); throws kInvalidArgument for what JSON cannot hold.
std::string to_json(const Value& value, const JsonStyle& style);

}  // namespace tq::jinja
