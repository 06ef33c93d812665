#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "text/jinja/interpreter.h"

namespace tq::jinja {
namespace {

[[noreturn]] void overflow(Interpreter& interpreter) {
  interpreter.error("integer overflow: numbers beyond 64 bits are not supported");
}

int64_t floor_div(Interpreter& interpreter, int64_t a, int64_t b) {
  if (b == 0) interpreter.error("division by zero");
  if (b == -1) {
    if (a == INT64_MIN) overflow(interpreter);
    return -a;
  }
  return a / b - ((a % b != 0 && (a < 0) != (b < 0)) ? 1 : 0);
}

Value integer_power(Interpreter& interpreter, int64_t base, int64_t exponent) {
  if (exponent < 0) {
    return Value(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  int64_t result = 1;
  for (; exponent > 0; --exponent) {
    if (base == 0 || base == 1) return Value(base);
    if (base == -1) return Value(exponent % 2 == 0 ? result : -result);
    if (__builtin_mul_overflow(result, base, &result)) overflow(interpreter);
  }
  return Value(result);
}

Value integer_operation(Interpreter& interpreter, const std::string& op, int64_t a, int64_t b) {
  int64_t out = 0;
  bool bad = false;
  if (op == "+") {
    bad = __builtin_add_overflow(a, b, &out);
  } else if (op == "-") {
    bad = __builtin_sub_overflow(a, b, &out);
  } else if (op == "*") {
    bad = __builtin_mul_overflow(a, b, &out);
  } else if (op == "//") {
    out = floor_div(interpreter, a, b);
  } else if (op == "%") {
    if (b == 0) interpreter.error("division by zero");
    out = b == -1 ? 0 : a % b;
    if (out != 0 && (out < 0) != (b < 0)) out += b;
  } else if (op == "**") {
    return integer_power(interpreter, a, b);
  } else {
    if (b == 0) interpreter.error("division by zero");
    return Value(static_cast<double>(a) / static_cast<double>(b));
  }
  if (bad) overflow(interpreter);
  return Value(out);
}

Value float_operation(Interpreter& interpreter, const std::string& op, double a, double b) {
  if (op == "+") return Value(a + b);
  if (op == "-") return Value(a - b);
  if (op == "*") return Value(a * b);
  if (op == "**") return Value(std::pow(a, b));
  if (b == 0) interpreter.error("division by zero");
  if (op == "/") return Value(a / b);
  if (op == "//") return Value(std::floor(a / b));
  const double rest = std::fmod(a, b);
  return Value(rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest);
}

// str * int and list * int.
Value repeat(const Value& sequence, int64_t count) {
  const auto n = static_cast<size_t>(std::max<int64_t>(count, 0));
  const std::string* s = sequence.as_string();
  const size_t size = s != nullptr ? s->size() : sequence.as_list()->items.size() * sizeof(Value);
  size_t total = 0;
  if (__builtin_mul_overflow(size, n, &total)) total = SIZE_MAX;
  require_bytes(total);
  charge_scan(total);
  if (s != nullptr) {
    std::string out;
    out.reserve(total);
    for (size_t i = 0; size > 0 && i < n; ++i) out += *s;
    return Value(std::move(out));
  }
  std::vector<Value> items;
  const auto& source = sequence.as_list()->items;
  charge_steps(size == 0 ? 0 : source.size() * n);
  items.reserve(total / sizeof(Value));
  for (size_t i = 0; size > 0 && i < n; ++i) {
    items.insert(items.end(), source.begin(), source.end());
  }
  return Value(std::move(items), sequence.as_list()->kind);
}

Value add_sequences(const Value& a, const Value& b) {
  if (a.is_string()) {
    const bool markup = a.is_markup() || b.is_markup();
    TextBuilder out;
    for (const Value* text : {&a, &b}) {
      out += markup && !text->is_markup() ? escape_html(*text->as_string()) : *text->as_string();
    }
    return markup ? Value::markup(out.take()) : Value(out.take());
  }
  const auto& first = a.as_list()->items;
  const auto& more = b.as_list()->items;
  charge_steps(first.size() + more.size());
  require_bytes((first.size() + more.size()) * sizeof(Value));
  std::vector<Value> items;
  items.reserve(first.size() + more.size());
  items.insert(items.end(), first.begin(), first.end());
  items.insert(items.end(), more.begin(), more.end());
  return Value(std::move(items), a.as_list()->kind);
}

bool is_plain_list(const Value& v) {
  return v.as_list() != nullptr &&
         (v.as_list()->kind == ListKind::kList || v.as_list()->is_tuple());
}

}  // namespace

Value binary_operation(Interpreter& interpreter, const std::string& op, const Value& a,
                       const Value& b) {
  if (op == "~") {
    TextBuilder out;
    a.write_to(out);
    b.write_to(out);
    return Value(out.take());
  }
  for (const Value* value : {&a, &b}) {
    if (value->is_undefined() && !(op == "%" && a.is_string())) {
      interpreter.error(value->why_undefined());
    }
  }
  if (a.is_number() && b.is_number()) {
    if (a.is_float() || b.is_float()) {
      return float_operation(interpreter, op, a.to_double(), b.to_double());
    }
    return integer_operation(interpreter, op, a.to_int(), b.to_int());
  }
  const bool same_kind =
      is_plain_list(a) && is_plain_list(b) && a.as_list()->is_tuple() == b.as_list()->is_tuple();
  if (op == "+" && ((a.is_string() && b.is_string()) || same_kind)) return add_sequences(a, b);
  const auto sequence = [](const Value& v) { return v.is_string() || is_plain_list(v); };
  if (op == "*" && sequence(a) && (b.is_int() || b.is_bool())) return repeat(a, b.to_int());
  if (op == "*" && sequence(b) && (a.is_int() || a.is_bool())) return repeat(b, a.to_int());
  if (op == "%" && a.is_string()) return percent_format(interpreter, *a.as_string(), b);
  interpreter.error(fmt::format("cannot compute {} {} {}", a.type_name(), op, b.type_name()));
}

}  // namespace tq::jinja
