// The interpreter's expressions.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/scope.h"
#include "text/jinja/unicode.h"

namespace tq::jinja {

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
      line_ = expr.line;
      return Value(test(expr.name, arguments));
    }
    case ExprKind::kList:
    case ExprKind::kTuple:
      return eval_items(expr);
    case ExprKind::kDict:
      return eval_dict(expr);
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
    case ExprKind::kUnpack:
      error("* outside of a call");
    case ExprKind::kCompare:
      return eval_compare(expr);
    case ExprKind::kConditional:
      if (arg(1).truthy()) return arg(0);
      if (expr.args[2] != nullptr) return arg(2);
      return Value::undefined("the inline if-expression has no else");
  }
  return Value();
}

Value Interpreter::eval_items(const Expr& expr) {
  std::vector<Value> items;
  require_bytes(expr.args.size() * sizeof(Value));
  items.reserve(expr.args.size());
  for (const ExprPtr& item : expr.args) items.push_back(eval(*item));
  return Value(std::move(items),
               expr.kind == ExprKind::kTuple ? ListKind::kTuple : ListKind::kList);
}

Value Interpreter::eval_dict(const Expr& expr) {
  Dict dict;
  for (size_t i = 0; i + 1 < expr.args.size(); i += 2) {
    Value key = eval(*expr.args[i]);
    dict.set(std::move(key), eval(*expr.args[i + 1]));
  }
  return Value(std::move(dict));
}

Arguments Interpreter::eval_arguments(const Expr& expr, size_t first) {
  Arguments arguments;
  arguments.positional.reserve(expr.args.size() + 1);
  for (size_t i = first; i < expr.args.size(); ++i) {
    if (expr.args[i]->kind == ExprKind::kUnpack) {
      for (Value& item : iterate(eval(*expr.args[i]->args[0]))) {
        arguments.positional.push_back(std::move(item));
      }
    } else {
      arguments.positional.push_back(eval(*expr.args[i]));
    }
  }
  for (const auto& [name, value] : expr.named) {
    Value given = eval(*value);
    if (!name.empty()) {
      arguments.named.emplace_back(name, std::move(given));
      continue;
    }
    const Dict* dict = given.as_dict();
    if (dict == nullptr) error("** takes a mapping");
    charge_steps(dict->size());
    require_bytes(dict->size() * 64);
    for (const auto& [key, item] : dict->entries()) {
      if (!key.is_string()) error("** takes a mapping with texts as keys");
      arguments.named.emplace_back(key.to_string(), item);
    }
  }
  return arguments;
}

Value Interpreter::eval_call(const Expr& expr) {
  const Value function = eval(*expr.args[0]);
  Arguments arguments = eval_arguments(expr, 1);
  line_ = expr.line;
  return call(function, arguments);
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

namespace {

// The indices that object[begin:end:stride] names: `count` of them from `begin` on.
struct Slice {
  int64_t begin;
  int64_t stride;
  int64_t count;
};

Slice resolve_slice(const Value bounds[3], int64_t n) {
  const auto read = [&](int i, int64_t fallback) {
    return bounds[i].is_none() ? fallback
                               : std::clamp(bounds[i].to_int(), -INT64_MAX / 4, INT64_MAX / 4);
  };
  const int64_t stride = read(2, 1);
  if (stride == 0) fail(ErrorCode::kInvalidArgument, "chat template: slice step cannot be zero");
  const int64_t low = stride > 0 ? 0 : -1;
  const int64_t high = stride > 0 ? n : n - 1;
  const auto place = [&](int i, int64_t fallback) {
    if (bounds[i].is_none()) return fallback;
    const int64_t at = read(i, 0);
    return std::clamp(at < 0 ? at + n : at, low, high);
  };
  const int64_t begin = place(0, stride > 0 ? low : high);
  const int64_t end = place(1, stride > 0 ? high : low);
  const int64_t span = stride > 0 ? end - begin : begin - end;
  const int64_t step = stride > 0 ? stride : -stride;
  return {begin, stride, span <= 0 ? 0 : (span - 1) / step + 1};
}

Value slice_text(const std::string& text, const Value bounds[3]) {
  charge_characters(text.size());
  const Slice slice = resolve_slice(bounds, character_count(text));
  if (slice.count == 0) return Value(std::string());
  if (slice.stride == 1) {
    const size_t begin = character_offset(text, 0, slice.begin);
    const size_t end = character_offset(text, begin, slice.count);
    require_bytes(end - begin);
    return Value(text.substr(begin, end - begin));
  }
  const std::vector<size_t> offsets = character_offsets(text);
  require_bytes(2 * text.size());
  std::string characters;
  for (int64_t k = 0; k < slice.count; ++k) {
    const auto at = static_cast<size_t>(slice.begin + k * slice.stride);
    characters.append(text, offsets[at], offsets[at + 1] - offsets[at]);
  }
  return Value(std::move(characters));
}

}  // namespace

Value Interpreter::eval_slice(const Expr& expr) {
  const Value object = eval(*expr.args[0]);
  Value bounds[3];
  for (size_t i = 0; i < 3; ++i) {
    bounds[i] = expr.args[i + 1] == nullptr ? Value(nullptr) : eval(*expr.args[i + 1]);
    if (!bounds[i].is_none() && !bounds[i].is_int() && !bounds[i].is_bool()) {
      error(fmt::format("a slice's bound is a {}, not an integer", bounds[i].type_name()));
    }
  }
  if (const std::string* s = object.as_string()) return slice_text(*s, bounds);
  const List* list = object.as_list();
  const bool sliced =
      list != nullptr && list->kind != ListKind::kIterator && list->kind != ListKind::kView;
  if (!sliced) error(fmt::format("a {} cannot be sliced", object.type_name()));
  const Slice slice = resolve_slice(bounds, static_cast<int64_t>(list->items.size()));
  charge_steps(static_cast<size_t>(slice.count));
  require_bytes(static_cast<size_t>(slice.count) * sizeof(Value));
  std::vector<Value> items;
  items.reserve(static_cast<size_t>(slice.count));
  for (int64_t k = 0; k < slice.count; ++k) {
    items.push_back(list->items[static_cast<size_t>(slice.begin + k * slice.stride)]);
  }
  return Value(std::move(items), list->kind);
}

}  // namespace tq::jinja
