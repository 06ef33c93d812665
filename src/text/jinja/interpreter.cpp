#include "text/jinja/interpreter.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "text/jinja/scope.h"

namespace tq::jinja {

Interpreter::~Interpreter() {
  for (const auto& ns : namespaces_) {
    // Each is held by the list, so this destroys no further than the depth of its own values.
    ns->attributes.clear();
  }
}

std::string Interpreter::render(const Block& block, const Dict& variables) {
  const Budget::Use use(budget_);
  try {
    globals_ = std::make_shared<Scope>(nullptr);
    for (const auto& [name, value] : variables.entries()) (*globals_)[name.to_string()] = value;
    scope_ = globals_;
    run(block);
  } catch (const Error& e) {
    // Operators and built-ins do not know the line.
    constexpr std::string_view kPrefix = "chat template: ";
    const std::string_view message = e.what();
    if (!message.starts_with(kPrefix) || message.substr(kPrefix.size()).starts_with("line ")) throw;
    fail(e.code(), "{}line {}: {}", kPrefix, line_, message.substr(kPrefix.size()));
  }
  return output_.take();
}

void Interpreter::error(std::string_view message) const {
  constexpr size_t kLongest = 500;
  fail(ErrorCode::kInvalidArgument, "chat template: line {}: {}{}", line_,
       message.substr(0, kLongest), message.size() > kLongest ? "..." : "");
}

void Interpreter::enter_scope(const std::shared_ptr<Scope>& parent) {
  scope_ = std::make_shared<Scope>(parent);
}

Value Interpreter::lookup(const std::string& name) const {
  charge_steps(name.size() / 64);
  for (const Scope* scope = scope_.get(); scope != nullptr; scope = scope->parent.get()) {
    if (scope != scope_.get()) charge_steps(1);
    if (const auto it = scope->variables.find(name); it != scope->variables.end()) {
      return it->second;
    }
  }
  if (const Builtin function = find_function(name)) return Value(Callable{name, function});
  return Value::undefined(fmt::format("'{:.100}' is undefined", name));
}

Value Interpreter::call(const Value& function, Arguments& arguments) {
  const Depth depth(*this);
  charge_steps(3 + arguments.positional.size() + arguments.named.size());
  const Callable* callable = function.as_callable();
  if (callable == nullptr) {
    error(function.is_undefined() ? std::string(function.why_undefined())
                                  : fmt::format("a {} cannot be called", function.type_name()));
  }
  return callable->call(*this, arguments);
}

Value Interpreter::filter(const std::string& name, Arguments& arguments) {
  const Depth depth(*this);
  charge_steps(3 + arguments.positional.size() + arguments.named.size());
  const Builtin function = find_filter(name);
  if (function == nullptr) error(fmt::format("no filter named '{:.100}'", name));
  return function(*this, arguments);
}

bool Interpreter::test(const std::string& name, Arguments& arguments) {
  charge_steps(2 + arguments.positional.size());
  const Builtin function = find_test(name);
  if (function == nullptr) error(fmt::format("no test named '{:.100}'", name));
  return function(*this, arguments).truthy();
}

Value Interpreter::make_namespace(Dict attributes) {
  auto ns = std::make_shared<Namespace>(Namespace{std::move(attributes)});
  namespaces_.push_back(ns);
  return Value(std::move(ns));
}

std::vector<Value> bind_arguments(Interpreter& interpreter, const Arguments& arguments,
                                  std::string_view function,
                                  std::initializer_list<std::string_view> names) {
  std::vector<Value> values(names.size());
  const size_t n_positional = arguments.positional.size() - 1;  // the first is the subject
  if (n_positional > names.size()) {
    interpreter.error(fmt::format("{}() takes at most {} arguments", function, names.size()));
  }
  std::copy(arguments.positional.begin() + 1, arguments.positional.end(), values.begin());
  for (const auto& [name, value] : arguments.named) {
    const auto it = std::find(names.begin(), names.end(), name);
    const auto i = static_cast<size_t>(it - names.begin());
    if (it == names.end() || i < n_positional) {
      interpreter.error(fmt::format("{}() got an unexpected argument '{:.100}'", function, name));
    }
    values[i] = value;
  }
  return values;
}

}  // namespace tq::jinja
