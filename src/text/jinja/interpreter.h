// Runs a parsed template. One Interpreter does one render; limits on steps, depth and bytes created
// hold for hostile templates and messages.
#pragma once

#include <cstdint>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/jinja/ast.h"

namespace tq::jinja {

struct Limits {
  int64_t max_steps = 5'000'000;         // nodes evaluated and items iterated
  int max_depth = 600;                   // nested evaluations and macro calls
  int64_t max_bytes = int64_t{1} << 30;  // created in all: strings, lists, output
};

class Interpreter {
 public:
  Interpreter(const Limits& limits, std::time_t now) : limits_(limits), now_(now) {}
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  // The output of the template with these variables. Throws kInvalidArgument for errors of the
  // template with these messages (the line is named) and kUnsupported past a limit.
  std::string render(const Block& block, const Dict& variables);

  // For filters, tests and methods:
  void step(int64_t n = 1);
  void charge(size_t bytes);  // accounts for data about to be created
  Value text(std::string s);  // a string value, charged
  [[noreturn]] void error(const std::string& message) const;
  Value call(const Value& function, Arguments& arguments);
  Value filter(const std::string& name, Arguments& arguments);
  bool test(const std::string& name, Arguments& arguments);
  Value attribute(const Value& object, const std::string& name);
  Value subscript(const Value& object, const Value& key);
  // "a.b.0": attributes and indices in turn, as map(attribute=...) takes them.
  Value attribute_path(const Value& object, const Value& path);
  // Items of a list, keys of a dict, characters of a string, nothing of an undefined value.
  std::vector<Value> iterate(const Value& value);
  Value make_namespace(Dict attributes);
  std::time_t now() const { return now_; }

 private:
  struct Scope;
  enum class Flow { kNormal, kBreak, kContinue };
  struct Depth;

  Flow run(const Block& block);
  Flow run(const Stmt& stmt);
  Flow run_for(const Stmt& stmt);
  Flow run_with(const Stmt& stmt);
  void run_set(const Stmt& stmt);
  void run_macro(const Stmt& stmt);
  void run_call(const Stmt& stmt);
  std::string capture(const Block& block);
  Value macro_value(const Stmt& stmt, const std::string& name);
  Value call_macro(const Stmt& stmt, const std::shared_ptr<Scope>& closure, Arguments& arguments);
  void bind_targets(const Stmt& stmt, const Value& value);
  void write(const std::string& s);

  Value eval(const Expr& expr);
  Value eval_call(const Expr& expr);
  Value eval_filter(const Expr& expr, const Value* input);
  Value eval_compare(const Expr& expr);
  Value eval_slice(const Expr& expr);
  Arguments eval_arguments(const Expr& expr, size_t first);
  Value lookup(const std::string& name) const;
  bool contains(const Value& container, const Value& item);

  Limits limits_;
  std::time_t now_;
  int64_t steps_ = 0;
  int64_t bytes_ = 0;
  int depth_ = 0;
  int line_ = 1;
  std::string output_;
  std::shared_ptr<Scope> scope_;
  std::shared_ptr<Scope> globals_;
  std::vector<std::weak_ptr<Namespace>> namespaces_;  // cleared at the end: they may hold cycles
};

// Binary arithmetic: + - * / // % ** ~ (operators.cpp).
Value binary_operation(Interpreter& interpreter, const std::string& op, const Value& a,
                       const Value& b);
// Python's "format % arguments".
Value percent_format(Interpreter& interpreter, const std::string& format, const Value& arguments);

// A built-in: arguments.positional[0] is the value filtered, tested, or whose method is called.
using Builtin = Value (*)(Interpreter&, Arguments&);

// Null when there is none of that name.
Builtin find_filter(std::string_view name);    // filters.cpp
Builtin find_test(std::string_view name);      // tests.cpp
Builtin find_function(std::string_view name);  // functions.cpp: range, namespace, ...
// The method of a str, dict or list; methods.cpp.
Builtin find_method(const Value& object, std::string_view name);

// Arguments after the first matched to parameter names: missing ones are undefined; too many,
// unknown or doubled ones are errors naming `function`.
std::vector<Value> bind_arguments(Interpreter& interpreter, const Arguments& arguments,
                                  std::string_view function,
                                  std::initializer_list<std::string_view> names);

}  // namespace tq::jinja
