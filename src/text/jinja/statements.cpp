// The interpreter's statements: text, output, if, for, set, macro, call, filter, with.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/scope.h"

namespace tq::jinja {

Interpreter::Flow Interpreter::run(const Block& block) {
  for (const StmtPtr& stmt : block) {
    const Flow flow = run(*stmt);
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run(const Stmt& stmt) {
  const Depth depth(*this);
  line_ = stmt.line;
  switch (stmt.kind) {
    case StmtKind::kText:
      output_ += stmt.text;
      return Flow::kNormal;
    case StmtKind::kOutput:
      eval(*stmt.expr).write_to(output_);
      return Flow::kNormal;
    case StmtKind::kIf:
      return run(eval(*stmt.expr).truthy() ? stmt.body : stmt.other);
    case StmtKind::kFor:
      return run_for(stmt);
    case StmtKind::kWith:
      return run_with(stmt);
    case StmtKind::kBlock:
      return run(stmt.body);
    case StmtKind::kBreak:
      return Flow::kBreak;
    case StmtKind::kContinue:
      return Flow::kContinue;
    case StmtKind::kSet:
      run_set(stmt);
      return Flow::kNormal;
    case StmtKind::kMacro:
      run_macro(stmt);
      return Flow::kNormal;
    case StmtKind::kCall:
      run_call(stmt);
      return Flow::kNormal;
    case StmtKind::kFilter: {
      const Value body = capture(stmt.body);
      eval_filter(*stmt.filter, &body).write_to(output_);
      return Flow::kNormal;
    }
  }
  return Flow::kNormal;
}

// What a loop runs over: the items that pass its filter.
std::vector<Value> Interpreter::loop_items(const Stmt& stmt) {
  std::vector<Value> items = iterate(eval(*stmt.expr));
  if (stmt.filter == nullptr) return items;
  const std::shared_ptr<Scope> outer = scope_;
  std::vector<Value> kept;
  for (Value& item : items) {
    enter_scope(outer);
    bind_targets(stmt, item);
    if (eval(*stmt.filter).truthy()) kept.push_back(std::move(item));
  }
  scope_ = outer;
  return kept;
}

Interpreter::Flow Interpreter::run_for(const Stmt& stmt) {
  std::vector<Value> items = loop_items(stmt);
  if (items.empty()) return run(stmt.other);
  const std::shared_ptr<Scope> outer = scope_;
  const auto loop = std::make_shared<Loop>();
  loop->depth = depth_over(items);
  loop->lease = Lease(items.capacity() * sizeof(Value) + 256);
  loop->items = std::move(items);
  loop->nesting = loop_nesting_++;
  // However the loop ends: what changed() saw may hold the loop itself.
  const auto end = [this](Loop* ended) {
    ended->ended = true;
    ended->last.clear();
    --loop_nesting_;
  };
  const std::unique_ptr<Loop, decltype(end)> guard(loop.get(), end);
  Flow flow = Flow::kNormal;
  for (size_t i = 0; i < loop->items.size() && flow != Flow::kBreak; ++i) {
    charge_steps(2);
    loop->index = i;
    enter_scope(outer);
    (*scope_)["loop"] = Value(loop);
    bind_targets(stmt, loop->items[i]);
    flow = run(stmt.body);
  }
  scope_ = outer;
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run_with(const Stmt& stmt) {
  const std::shared_ptr<Scope> outer = scope_;
  auto inner = std::make_shared<Scope>(outer);
  for (size_t i = 0; i < stmt.names.size(); ++i) {
    (*inner)[stmt.names[i]] = eval(*stmt.defaults[i]);
  }
  scope_ = std::move(inner);
  const Flow flow = run(stmt.body);
  scope_ = outer;
  return flow;
}

void Interpreter::bind_targets(const Stmt& stmt, const Value& value) {
  if (!stmt.tuple_target) {
    (*scope_)[stmt.names[0]] = value;
    return;
  }
  const std::vector<Value> parts = iterate(value);
  if (parts.size() != stmt.names.size()) {
    error(fmt::format("cannot unpack {} values into {} names", parts.size(), stmt.names.size()));
  }
  for (size_t i = 0; i < parts.size(); ++i) (*scope_)[stmt.names[i]] = parts[i];
}

void Interpreter::run_set(const Stmt& stmt) {
  Value value;
  if (stmt.expr != nullptr) {
    value = eval(*stmt.expr);
  } else {
    value = capture(stmt.body);
    if (stmt.filter != nullptr) value = eval_filter(*stmt.filter, &value);
  }
  if (stmt.text.empty()) return bind_targets(stmt, value);
  const Value target = lookup(stmt.names[0]);
  Namespace* ns = target.as_namespace();
  if (ns == nullptr) {
    error(fmt::format("cannot set attribute '{}': '{}' is no namespace", stmt.text, stmt.names[0]));
  }
  ns->attributes.set(Value(stmt.text), std::move(value));
}

// The output of a block as a text.
Value Interpreter::capture(const Block& block) {
  TextBuilder outer = std::exchange(output_, {});
  const std::shared_ptr<Scope> scope = scope_;
  enter_scope(scope);
  run(block);
  scope_ = scope;
  return Value(std::exchange(output_, std::move(outer)).take());
}

Value Interpreter::macro_value(const Stmt& stmt, const std::string& name) {
  // A scope holds its macros, so a macro must not hold its scope: one that is gone has ended, and
  // the macro then sees the template's own variables.
  const std::weak_ptr<Scope> closure = scope_;
  return Value(Callable{name, [&stmt, closure](Interpreter& interpreter, Arguments& arguments) {
                          auto scope = closure.lock();
                          return interpreter.call_macro(stmt, scope ? scope : interpreter.globals_,
                                                        arguments);
                        }});
}

void Interpreter::run_macro(const Stmt& stmt) {
  (*scope_)[stmt.text] = macro_value(stmt, stmt.text);
}

void Interpreter::run_call(const Stmt& stmt) {
  Arguments arguments = eval_arguments(*stmt.expr, 1);
  arguments.named.emplace_back("caller", macro_value(stmt, "caller"));
  call(eval(*stmt.expr->args[0]), arguments).write_to(output_);
}

Value Interpreter::call_macro(const Stmt& stmt, const std::shared_ptr<Scope>& closure,
                              Arguments& arguments) {
  const Depth depth(*this);
  const std::shared_ptr<Scope> outer = scope_;
  TextBuilder outer_output = std::exchange(output_, {});
  const int line = line_;
  enter_scope(closure);
  bind_parameters(stmt, arguments);
  run(stmt.body);
  scope_ = outer;
  line_ = line;
  return Value(std::exchange(output_, std::move(outer_output)).take());
}

// The macro's parameters as variables of the current scope.
void Interpreter::bind_parameters(const Stmt& stmt, Arguments& arguments) {
  Scope& scope = *scope_;
  const size_t n = stmt.names.size();
  const size_t n_required = n - stmt.defaults.size();
  const size_t n_given = std::min(arguments.positional.size(), n);
  for (size_t i = 0; i < n_given; ++i) scope[stmt.names[i]] = arguments.positional[i];
  if (stmt.uses_varargs) {
    scope["varargs"] = Value(
        std::vector<Value>(arguments.positional.begin() + static_cast<std::ptrdiff_t>(n_given),
                           arguments.positional.end()),
        ListKind::kTuple);
  } else if (arguments.positional.size() > n) {
    error(fmt::format("macro '{}' takes at most {} arguments", stmt.text, n));
  }
  Dict kwargs;
  for (auto& [name, value] : arguments.named) {
    const auto place = std::find(stmt.names.begin(), stmt.names.end(), name);
    if (place != stmt.names.end()) {
      if (static_cast<size_t>(place - stmt.names.begin()) < n_given) {
        error(fmt::format("macro '{}' got two values for '{}'", stmt.text, name));
      }
      scope[name] = value;
    } else if (name == "caller") {
      scope[name] = value;
    } else if (stmt.uses_kwargs) {
      kwargs.set(Value(name), value);
    } else {
      error(fmt::format("macro '{}' has no parameter '{}'", stmt.text, name));
    }
  }
  if (stmt.uses_kwargs) scope["kwargs"] = Value(std::move(kwargs));
  for (size_t i = 0; i < n; ++i) {
    if (scope.variables.contains(stmt.names[i])) continue;
    scope[stmt.names[i]] =
        i >= n_required
            ? eval(*stmt.defaults[i - n_required])
            : Value::undefined(fmt::format("parameter '{}' was not provided", stmt.names[i]));
  }
}

}  // namespace tq::jinja
