#include "text/jinja/interpreter.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "text/jinja/unicode.h"

namespace tq::jinja {

// Variables of one block; macros look names up from where they were defined.
struct Interpreter::Scope {
  std::unordered_map<std::string, Value> variables;
  std::shared_ptr<Scope> parent;
};

struct Interpreter::Depth {
  explicit Depth(Interpreter& interpreter) : interpreter_(interpreter) {
    interpreter_.step();
    if (interpreter_.depth_ >= interpreter_.limits_.max_depth) {
      fail(ErrorCode::kUnsupported, "chat template: line {}: nested deeper than {}",
           interpreter_.line_, interpreter_.limits_.max_depth);
    }
    ++interpreter_.depth_;
  }
  ~Depth() { --interpreter_.depth_; }
  Depth(const Depth&) = delete;
  Depth& operator=(const Depth&) = delete;
  Interpreter& interpreter_;
};

Interpreter::~Interpreter() {
  for (const auto& weak : namespaces_) {
    if (const auto ns = weak.lock()) ns->attributes.clear();
  }
}

std::string Interpreter::render(const Block& block, const Dict& variables) {
  globals_ = std::make_shared<Scope>();
  for (const auto& [name, value] : variables.entries()) {
    globals_->variables[name.to_string()] = value;
  }
  scope_ = globals_;
  try {
    run(block);
  } catch (const Error& e) {
    // Operators and built-ins do not know the line.
    constexpr std::string_view kPrefix = "chat template: ";
    const std::string_view message = e.what();
    if (!message.starts_with(kPrefix) || message.substr(kPrefix.size()).starts_with("line ")) throw;
    fail(e.code(), "{}line {}: {}", kPrefix, line_, message.substr(kPrefix.size()));
  }
  return std::move(output_);
}

void Interpreter::step(int64_t n) {
  steps_ += n;
  if (steps_ > limits_.max_steps) {
    fail(ErrorCode::kUnsupported, "chat template: line {}: more than {} steps", line_,
         limits_.max_steps);
  }
}

void Interpreter::charge(size_t bytes) {
  bytes_ += static_cast<int64_t>(std::min<size_t>(bytes, size_t{1} << 40));
  if (bytes_ > limits_.max_bytes) {
    fail(ErrorCode::kUnsupported, "chat template: line {}: more than {} bytes of text", line_,
         limits_.max_bytes);
  }
}

Value Interpreter::text(std::string s) {
  charge(s.size());
  return Value(std::move(s));
}

void Interpreter::error(const std::string& message) const {
  fail(ErrorCode::kInvalidArgument, "chat template: line {}: {}", line_, message);
}

void Interpreter::write(const std::string& s) {
  charge(s.size());
  output_ += s;
}

// ---- statements

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
      write(stmt.text);
      return Flow::kNormal;
    case StmtKind::kOutput:
      write(eval(*stmt.expr).to_string());
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
      const Value body(capture(stmt.body));
      write(eval_filter(*stmt.filter, &body).to_string());
      return Flow::kNormal;
    }
  }
  return Flow::kNormal;
}

namespace {

// The attributes of `loop` that change from item to item.
void set_loop(Dict& loop, const std::vector<Value>& items, size_t i) {
  const auto number = [](size_t n) { return Value(static_cast<int64_t>(n)); };
  const auto set = [&](const char* name, Value value) {
    loop.set(Value(std::string(name)), std::move(value));
  };
  const size_t n = items.size();
  set("index", number(i + 1));
  set("index0", number(i));
  set("revindex", number(n - i));
  set("revindex0", number(n - i - 1));
  set("first", Value(i == 0));
  set("last", Value(i + 1 == n));
  set("length", number(n));
  set("previtem", i > 0 ? items[i - 1] : Value::undefined("there is no previous item"));
  set("nextitem", i + 1 < n ? items[i + 1] : Value::undefined("there is no next item"));
}

void add_loop_functions(Dict& loop, const std::shared_ptr<size_t>& index) {
  const auto add = [&](const char* name, auto function) {
    loop.set(Value(std::string(name)), Value(Callable{name, std::move(function)}));
  };
  add("cycle", [index](Interpreter& interpreter, Arguments& arguments) {
    if (arguments.positional.empty()) interpreter.error("loop.cycle() without items");
    return arguments.positional[*index % arguments.positional.size()];
  });
  const auto last = std::make_shared<std::vector<Value>>();
  const auto called = std::make_shared<bool>(false);
  add("changed", [last, called](Interpreter&, Arguments& arguments) {
    const auto& now = arguments.positional;
    const bool same =
        *called && std::equal(now.begin(), now.end(), last->begin(), last->end(), equal);
    *called = true;
    *last = now;
    return Value(!same);
  });
}

}  // namespace

Interpreter::Flow Interpreter::run_for(const Stmt& stmt) {
  std::vector<Value> items = iterate(eval(*stmt.expr));
  const std::shared_ptr<Scope> outer = scope_;
  if (stmt.filter != nullptr) {
    std::vector<Value> kept;
    for (Value& item : items) {
      scope_ = std::make_shared<Scope>(Scope{{}, outer});
      bind_targets(stmt, item);
      if (eval(*stmt.filter).truthy()) kept.push_back(std::move(item));
    }
    scope_ = outer;
    items = std::move(kept);
  }
  if (items.empty()) return run(stmt.other);

  const auto index = std::make_shared<size_t>(0);
  const Value loop = make_namespace({});
  add_loop_functions(loop.as_namespace()->attributes, index);
  Flow flow = Flow::kNormal;
  for (size_t i = 0; i < items.size() && flow != Flow::kBreak; ++i) {
    step();
    *index = i;
    set_loop(loop.as_namespace()->attributes, items, i);
    scope_ = std::make_shared<Scope>(Scope{{}, outer});
    scope_->variables["loop"] = loop;
    bind_targets(stmt, items[i]);
    flow = run(stmt.body);
  }
  scope_ = outer;
  loop.as_namespace()->attributes.clear();
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run_with(const Stmt& stmt) {
  const std::shared_ptr<Scope> outer = scope_;
  auto inner = std::make_shared<Scope>(Scope{{}, outer});
  for (size_t i = 0; i < stmt.names.size(); ++i) {
    inner->variables[stmt.names[i]] = eval(*stmt.defaults[i]);
  }
  scope_ = std::move(inner);
  const Flow flow = run(stmt.body);
  scope_ = outer;
  return flow;
}

void Interpreter::bind_targets(const Stmt& stmt, const Value& value) {
  if (!stmt.tuple_target) {
    scope_->variables[stmt.names[0]] = value;
    return;
  }
  const std::vector<Value> parts = iterate(value);
  if (parts.size() != stmt.names.size()) {
    error(fmt::format("cannot unpack {} values into {} names", parts.size(), stmt.names.size()));
  }
  for (size_t i = 0; i < parts.size(); ++i) scope_->variables[stmt.names[i]] = parts[i];
}

void Interpreter::run_set(const Stmt& stmt) {
  Value value;
  if (stmt.expr != nullptr) {
    value = eval(*stmt.expr);
  } else {
    value = Value(capture(stmt.body));
    if (stmt.filter != nullptr) value = eval_filter(*stmt.filter, &value);
  }
  if (stmt.text.empty()) return bind_targets(stmt, value);
  Namespace* ns = lookup(stmt.names[0]).as_namespace();
  if (ns == nullptr) {
    error(fmt::format("cannot set attribute '{}': '{}' is no namespace", stmt.text, stmt.names[0]));
  }
  ns->attributes.set(Value(stmt.text), std::move(value));
}

std::string Interpreter::capture(const Block& block) {
  std::string outer = std::exchange(output_, {});
  const std::shared_ptr<Scope> scope = scope_;
  scope_ = std::make_shared<Scope>(Scope{{}, scope});
  run(block);
  scope_ = scope;
  return std::exchange(output_, std::move(outer));
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
  scope_->variables[stmt.text] = macro_value(stmt, stmt.text);
}

void Interpreter::run_call(const Stmt& stmt) {
  Arguments arguments = eval_arguments(*stmt.expr, 1);
  arguments.named.emplace_back("caller", macro_value(stmt, "caller"));
  write(call(eval(*stmt.expr->args[0]), arguments).to_string());
}

Value Interpreter::call_macro(const Stmt& stmt, const std::shared_ptr<Scope>& closure,
                              Arguments& arguments) {
  const Depth depth(*this);
  const std::shared_ptr<Scope> outer = scope_;
  std::string outer_output = std::exchange(output_, {});
  const int line = line_;
  scope_ = std::make_shared<Scope>(Scope{{}, closure});
  auto& variables = scope_->variables;
  const size_t n = stmt.names.size();
  const size_t n_required = n - stmt.defaults.size();
  if (arguments.positional.size() > n) {
    error(fmt::format("macro '{}' takes at most {} arguments", stmt.text, n));
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) {
    variables[stmt.names[i]] = arguments.positional[i];
  }
  for (auto& [name, value] : arguments.named) {
    const bool known = std::find(stmt.names.begin(), stmt.names.end(), name) != stmt.names.end();
    if (!known && name != "caller") {
      error(fmt::format("macro '{}' has no parameter '{}'", stmt.text, name));
    }
    variables[name] = value;
  }
  for (size_t i = 0; i < n; ++i) {
    if (variables.contains(stmt.names[i])) continue;
    variables[stmt.names[i]] =
        i >= n_required
            ? eval(*stmt.defaults[i - n_required])
            : Value::undefined(fmt::format("parameter '{}' was not provided", stmt.names[i]));
  }
  run(stmt.body);
  scope_ = outer;
  line_ = line;
  return Value(std::exchange(output_, std::move(outer_output)));
}

// ---- expressions

Value Interpreter::lookup(const std::string& name) const {
  for (const Scope* scope = scope_.get(); scope != nullptr; scope = scope->parent.get()) {
    if (const auto it = scope->variables.find(name); it != scope->variables.end()) {
      return it->second;
    }
  }
  if (const Builtin function = find_function(name)) return Value(Callable{name, function});
  return Value::undefined(fmt::format("'{}' is undefined", name));
}

Value Interpreter::eval(const Expr& expr) {
  const Depth depth(*this);
  const auto arg = [&](size_t i) { return eval(*expr.args[i]); };
  switch (expr.kind) {
    case ExprKind::kConstant:
      return expr.value;
    case ExprKind::kName:
      return lookup(expr.name);
    case ExprKind::kAttribute:
      return attribute(arg(0), expr.name);
    case ExprKind::kSubscript: {
      const Value object = arg(0);
      return subscript(object, arg(1));
    }
    case ExprKind::kSlice:
      return eval_slice(expr);
    case ExprKind::kCall:
      return eval_call(expr);
    case ExprKind::kFilter:
      return eval_filter(expr, nullptr);
    case ExprKind::kTest: {
      Arguments arguments = eval_arguments(expr, 0);
      return Value(test(expr.name, arguments));
    }
    case ExprKind::kList:
    case ExprKind::kTuple: {
      std::vector<Value> items;
      charge(expr.args.size() * sizeof(Value));
      for (const ExprPtr& item : expr.args) items.push_back(eval(*item));
      return Value(std::move(items), expr.kind == ExprKind::kTuple);
    }
    case ExprKind::kDict: {
      Dict dict;
      charge(expr.args.size() * sizeof(Value));
      for (size_t i = 0; i + 1 < expr.args.size(); i += 2) {
        Value key = arg(i);
        dict.set(std::move(key), arg(i + 1));
      }
      return Value(std::move(dict));
    }
    case ExprKind::kNot:
      return Value(!arg(0).truthy());
    case ExprKind::kNegate:
      return binary_operation(*this, "-", Value(int64_t{0}), arg(0));
    case ExprKind::kPlus:
      return binary_operation(*this, "+", Value(int64_t{0}), arg(0));
    case ExprKind::kBinary: {
      const Value left = arg(0);
      return binary_operation(*this, expr.name, left, arg(1));
    }
    case ExprKind::kAnd: {
      Value left = arg(0);
      return left.truthy() ? arg(1) : left;
    }
    case ExprKind::kOr: {
      Value left = arg(0);
      return left.truthy() ? left : arg(1);
    }
    case ExprKind::kCompare:
      return eval_compare(expr);
    case ExprKind::kConditional:
      if (arg(1).truthy()) return arg(0);
      if (expr.args[2] != nullptr) return arg(2);
      return Value::undefined("the inline if-expression has no else");
  }
  return Value();
}

Arguments Interpreter::eval_arguments(const Expr& expr, size_t first) {
  Arguments arguments;
  for (size_t i = first; i < expr.args.size(); ++i) {
    arguments.positional.push_back(eval(*expr.args[i]));
  }
  for (const auto& [name, value] : expr.named) arguments.named.emplace_back(name, eval(*value));
  return arguments;
}

Value Interpreter::eval_call(const Expr& expr) {
  const Value function = eval(*expr.args[0]);
  Arguments arguments = eval_arguments(expr, 1);
  line_ = expr.line;
  return call(function, arguments);
}

Value Interpreter::call(const Value& function, Arguments& arguments) {
  const Depth depth(*this);
  const Callable* callable = function.as_callable();
  if (callable == nullptr) {
    const auto* undefined = std::get_if<Undefined>(&function.variant());
    error(undefined != nullptr ? undefined->what
                               : fmt::format("a {} cannot be called", function.type_name()));
  }
  return callable->call(*this, arguments);
}

Value Interpreter::eval_filter(const Expr& expr, const Value* input) {
  Arguments arguments;
  arguments.positional.push_back(expr.args[0] == nullptr ? *input
                                 : expr.args[0]->kind == ExprKind::kFilter
                                     ? eval_filter(*expr.args[0], input)
                                     : eval(*expr.args[0]));
  Arguments rest = eval_arguments(expr, 1);
  for (Value& value : rest.positional) arguments.positional.push_back(std::move(value));
  arguments.named = std::move(rest.named);
  line_ = expr.line;
  return filter(expr.name, arguments);
}

Value Interpreter::filter(const std::string& name, Arguments& arguments) {
  const Depth depth(*this);
  const Builtin function = find_filter(name);
  if (function == nullptr) error(fmt::format("no filter named '{}'", name));
  return function(*this, arguments);
}

bool Interpreter::test(const std::string& name, Arguments& arguments) {
  const Builtin function = find_test(name);
  if (function == nullptr) error(fmt::format("no test named '{}'", name));
  return function(*this, arguments).truthy();
}

Value Interpreter::eval_compare(const Expr& expr) {
  Value left = eval(*expr.args[0]);
  for (size_t i = 0; i < expr.operators.size(); ++i) {
    const std::string& op = expr.operators[i];
    Value right = eval(*expr.args[i + 1]);
    bool holds = false;
    if (op == "==") {
      holds = equal(left, right);
    } else if (op == "!=") {
      holds = !equal(left, right);
    } else if (op == "in") {
      holds = contains(right, left);
    } else if (op == "not in") {
      holds = !contains(right, left);
    } else {
      const int order = compare(left, right);
      holds = op == "<" ? order < 0 : op == ">" ? order > 0 : op == "<=" ? order <= 0 : order >= 0;
    }
    if (!holds) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

bool Interpreter::contains(const Value& container, const Value& item) {
  if (const std::string* s = container.as_string()) {
    if (!item.is_string()) {
      error(fmt::format("'in <string>' requires a string, not {}", item.type_name()));
    }
    return s->find(*item.as_string()) != std::string::npos;
  }
  if (const Dict* dict = container.as_dict()) return dict->find(item) != nullptr;
  if (const List* list = container.as_list()) {
    step(static_cast<int64_t>(list->items.size()));
    return std::any_of(list->items.begin(), list->items.end(),
                       [&](const Value& value) { return equal(value, item); });
  }
  if (container.is_undefined()) return false;
  error(fmt::format("a {} cannot be searched with 'in'", container.type_name()));
}

Value Interpreter::attribute(const Value& object, const std::string& name) {
  if (const auto* undefined = std::get_if<Undefined>(&object.variant())) error(undefined->what);
  if (const Namespace* ns = object.as_namespace()) {
    const Value* value = ns->attributes.find(Value(name));
    return value != nullptr ? *value : Value::undefined(fmt::format("namespace has no '{}'", name));
  }
  if (const Builtin method = find_method(object, name)) {
    return Value(Callable{name, [object, method](Interpreter& interpreter, Arguments& arguments) {
                            arguments.positional.insert(arguments.positional.begin(), object);
                            return method(interpreter, arguments);
                          }});
  }
  if (const Dict* dict = object.as_dict()) {
    if (const Value* value = dict->find(Value(name))) return *value;
  }
  return Value::undefined(
      fmt::format("'{} object' has no attribute '{}'", object.type_name(), name));
}

Value Interpreter::subscript(const Value& object, const Value& key) {
  if (const auto* undefined = std::get_if<Undefined>(&object.variant())) error(undefined->what);
  if (const Dict* dict = object.as_dict()) {
    if (const Value* value = dict->find(key)) return *value;
  } else if (key.is_int() || key.is_bool()) {
    const int64_t i = key.to_int();
    if (const List* list = object.as_list()) {
      const auto n = static_cast<int64_t>(list->items.size());
      if (i >= -n && i < n) return list->items[static_cast<size_t>(i < 0 ? i + n : i)];
    } else if (const std::string* s = object.as_string()) {
      step(static_cast<int64_t>(s->size() / 64));
      const std::vector<size_t> offsets = character_offsets(*s);
      const auto n = static_cast<int64_t>(offsets.size()) - 1;
      if (i >= -n && i < n) {
        const auto at = static_cast<size_t>(i < 0 ? i + n : i);
        return text(s->substr(offsets[at], offsets[at + 1] - offsets[at]));
      }
    }
  }
  if (const std::string* name = key.as_string()) return attribute(object, *name);
  return Value::undefined(
      fmt::format("'{} object' has no element {}", object.type_name(), key.repr()));
}

Value Interpreter::attribute_path(const Value& object, const Value& path) {
  if (path.is_int()) return subscript(object, path);
  Value value = object;
  const std::string text_path = path.to_string();
  for (size_t begin = 0; begin <= text_path.size();) {
    const size_t end = std::min(text_path.find('.', begin), text_path.size());
    const std::string part = text_path.substr(begin, end - begin);
    const bool number = !part.empty() && part.size() < 10 &&
                        part.find_first_not_of("0123456789") == std::string::npos;
    value = subscript(value, number ? Value(int64_t{std::stol(part)}) : Value(part));
    begin = end + 1;
  }
  return value;
}

Value Interpreter::eval_slice(const Expr& expr) {
  const Value object = eval(*expr.args[0]);
  const auto bound = [&](size_t i, int64_t fallback) {
    if (expr.args[i] == nullptr) return fallback;
    const Value value = eval(*expr.args[i]);
    return value.is_none() ? fallback : std::clamp(value.to_int(), -INT64_MAX / 4, INT64_MAX / 4);
  };
  const std::string* s = object.as_string();
  const List* list = object.as_list();
  if (s == nullptr && list == nullptr) {
    error(fmt::format("a {} cannot be sliced", object.type_name()));
  }
  std::vector<size_t> offsets;
  if (s != nullptr) offsets = character_offsets(*s);
  const auto n = static_cast<int64_t>(s != nullptr ? offsets.size() - 1 : list->items.size());
  step(n / 16);
  const int64_t stride = bound(3, 1);
  if (stride == 0) error("slice step cannot be zero");
  const int64_t low = stride > 0 ? 0 : -1;
  const int64_t high = stride > 0 ? n : n - 1;
  const auto place = [&](int64_t i) { return std::clamp(i < 0 ? i + n : i, low, high); };
  constexpr int64_t kAbsent = INT64_MIN;
  const int64_t raw_begin = bound(1, kAbsent);
  const int64_t raw_end = bound(2, kAbsent);
  const int64_t begin = raw_begin == kAbsent ? (stride > 0 ? low : high) : place(raw_begin);
  const int64_t end = raw_end == kAbsent ? (stride > 0 ? high : low) : place(raw_end);

  std::string characters;
  std::vector<Value> items;
  for (int64_t i = begin; stride > 0 ? i < end : i > end; i += stride) {
    const auto at = static_cast<size_t>(i);
    if (s != nullptr) {
      characters.append(*s, offsets[at], offsets[at + 1] - offsets[at]);
    } else {
      items.push_back(list->items[at]);
    }
  }
  if (s != nullptr) return text(std::move(characters));
  charge(items.size() * sizeof(Value));
  return Value(std::move(items), list->tuple);
}

std::vector<Value> Interpreter::iterate(const Value& value) {
  std::vector<Value> items;
  if (const List* list = value.as_list()) {
    items = list->items;
  } else if (const Dict* dict = value.as_dict()) {
    for (const auto& entry : dict->entries()) items.push_back(entry.first);
  } else if (const std::string* s = value.as_string()) {
    const std::vector<size_t> offsets = character_offsets(*s);
    for (size_t i = 0; i + 1 < offsets.size(); ++i) {
      items.emplace_back(s->substr(offsets[i], offsets[i + 1] - offsets[i]));
    }
  } else if (!value.is_undefined()) {
    error(fmt::format("a {} cannot be iterated", value.type_name()));
  }
  step(static_cast<int64_t>(items.size()));
  charge(items.size() * sizeof(Value));
  return items;
}

Value Interpreter::make_namespace(Dict attributes) {
  auto ns = std::make_shared<Namespace>(Namespace{std::move(attributes)});
  namespaces_.push_back(ns);
  charge(sizeof(Namespace));
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
      interpreter.error(fmt::format("{}() got an unexpected argument '{}'", function, name));
    }
    values[i] = value;
  }
  return values;
}

}  // namespace tq::jinja
