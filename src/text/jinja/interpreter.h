// Runs a parsed template. One Interpreter does one render, within a budget of steps, depth and
// bytes (budget.h): templates and messages may be hostile.
#pragma once

#include <cstdint>
#include <ctime>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/budget.h"

namespace tq::jinja {

class Interpreter {
 public:
  Interpreter(const Limits& limits, std::time_t now)
      : budget_(limits), max_depth_(limits.max_depth), now_(now) {}
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  // The output of the template with these variables. Throws kInvalidArgument for errors of the
  // template with these messages (the line is named) and kUnsupported past a limit.
  std::string render(const Block& block, const Dict& variables);

  // For filters, tests and methods:
  [[noreturn]] void error(std::string_view message) const;
  Value call(const Value& function, Arguments& arguments);
  Value filter(const std::string& name, Arguments& arguments);
  bool test(const std::string& name, Arguments& arguments);
  Value attribute(const Value& object, const std::string& name);
  Value subscript(const Value& object, const Value& key);
  // Null when the object has no such method or attribute of Python's (dict entries are none).
  Value python_attribute(const Value& object, const std::string& name);
  // "a.b.0": attributes and indices in turn, as map(attribute=...) takes them; what is missing
  // becomes `fallback`, if that is not null.
  Value attribute_path(const Value& object, const Value& path, const Value* fallback = nullptr);
  // Items of a list, keys of a dict, characters of a string, nothing of an undefined value. What an
  // iterator still has is taken from it; where it fails then, that is thrown, or put into *failure.
  std::vector<Value> iterate(const Value& value, std::exception_ptr* failure = nullptr);
  bool contains(const Value& container, const Value& item);
  Value make_namespace(Dict attributes);
  std::time_t now() const { return now_; }

 private:
  struct Scope;
  enum class Flow { kNormal, kBreak, kContinue };
  struct Depth;

  // Statements (statements.cpp).
  Flow run(const Block& block);
  Flow run(const Stmt& stmt);
  Flow run_for(const Stmt& stmt);
  std::vector<Value> loop_items(const Stmt& stmt);
  Flow run_with(const Stmt& stmt);
  void run_set(const Stmt& stmt);
  void run_macro(const Stmt& stmt);
  void run_call(const Stmt& stmt);
  Value capture(const Block& block);
  Value macro_value(const Stmt& stmt, const std::string& name);
  Value call_macro(const Stmt& stmt, const std::shared_ptr<Scope>& closure, Arguments& arguments);
  void bind_parameters(const Stmt& stmt, Arguments& arguments);
  void bind_targets(const Stmt& stmt, const Value& value);
  void enter_scope(const std::shared_ptr<Scope>& parent);

  // Expressions (expressions.cpp).
  Value eval(const Expr& expr);
  Value eval_items(const Expr& expr);
  Value eval_dict(const Expr& expr);
  Value eval_call(const Expr& expr);
  Value eval_filter(const Expr& expr, const Value* input);
  Value eval_compare(const Expr& expr);
  Value eval_slice(const Expr& expr);
  Arguments eval_arguments(const Expr& expr, size_t first);
  Value lookup(const std::string& name) const;

  // Attributes and items of values (access.cpp).
  Value loop_attribute(const std::shared_ptr<Loop>& loop, const std::string& name) const;
  Value bound_method(const Value& object, const std::string& name);

  Budget budget_;  // first: everything below holds bytes of it
  int max_depth_;
  std::time_t now_;
  int depth_ = 0;
  int line_ = 1;
  int loop_nesting_ = 0;
  TextBuilder output_;
  std::shared_ptr<Scope> scope_;
  std::shared_ptr<Scope> globals_;
  // All that were made: emptied at the end, for they may hold each other, in a circle or a chain.
  std::vector<std::shared_ptr<Namespace>> namespaces_;
};

// Binary arithmetic: + - * / // % ** ~ (operators.cpp).
Value binary_operation(Interpreter& interpreter, const std::string& op, const Value& a,
                       const Value& b);
// Python's "format % arguments", and "...".format(arguments), whose first is the format
// (format.cpp).
Value percent_format(Interpreter& interpreter, const std::string& format, const Value& arguments);
Value text_format(Interpreter& interpreter, Arguments& arguments);

// A built-in: arguments.positional[0] is the value filtered, tested, or whose method is called.
using Builtin = Value (*)(Interpreter&, Arguments&);

struct BuiltinRow {
  std::string_view name;
  Builtin function;
};

// Null when there is none of that name.
Builtin find_filter(std::string_view name);    // filters.cpp
Builtin find_test(std::string_view name);      // tests.cpp
Builtin find_function(std::string_view name);  // functions.cpp: range, namespace, ...
// The method of a str, dict or list; methods.cpp.
Builtin find_method(const Value& object, std::string_view name);
// Methods that change a list or dict: Hugging Face renders templates in a sandbox without them.
bool is_forbidden_method(const Value& object, std::string_view name);

// Arguments after the first matched to parameter names: missing ones are undefined; too many,
// unknown or doubled ones are errors naming `function`.
std::vector<Value> bind_arguments(Interpreter& interpreter, const Arguments& arguments,
                                  std::string_view function,
                                  std::initializer_list<std::string_view> names);

// The value that is filtered, tested, or whose method is called.
inline const Value& subject(const Arguments& arguments) { return arguments.positional[0]; }

}  // namespace tq::jinja
