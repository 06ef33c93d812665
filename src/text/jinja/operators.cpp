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
Value repeat(Interpreter& interpreter, const Value& sequence, int64_t count) {
  const auto n = static_cast<size_t>(std::max<int64_t>(count, 0));
  const std::string* s = sequence.as_string();
  const size_t size = s != nullptr ? s->size() : sequence.as_list()->items.size() * sizeof(Value);
  size_t total = 0;
  if (__builtin_mul_overflow(size, n, &total)) total = SIZE_MAX;
  interpreter.charge(total);
  if (s != nullptr) {
    std::string out;
    out.reserve(total);
    for (size_t i = 0; size > 0 && i < n; ++i) out += *s;
    return Value(std::move(out));
  }
  std::vector<Value> items;
  const auto& source = sequence.as_list()->items;
  for (size_t i = 0; size > 0 && i < n; ++i) {
    items.insert(items.end(), source.begin(), source.end());
  }
  return Value(std::move(items), sequence.as_list()->tuple);
}

Value add_sequences(Interpreter& interpreter, const Value& a, const Value& b) {
  if (a.is_string()) {
    interpreter.charge(a.as_string()->size() + b.as_string()->size());
    return Value(*a.as_string() + *b.as_string());
  }
  std::vector<Value> items = a.as_list()->items;
  const auto& more = b.as_list()->items;
  interpreter.charge((items.size() + more.size()) * sizeof(Value));
  items.insert(items.end(), more.begin(), more.end());
  return Value(std::move(items), a.as_list()->tuple);
}

}  // namespace

Value binary_operation(Interpreter& interpreter, const std::string& op, const Value& a,
                       const Value& b) {
  if (op == "~") return interpreter.text(a.to_string() + b.to_string());
  for (const Value* value : {&a, &b}) {
    if (const auto* undefined = std::get_if<Undefined>(&value->variant())) {
      interpreter.error(undefined->what);
    }
  }
  if (a.is_number() && b.is_number()) {
    if (a.is_float() || b.is_float()) {
      return float_operation(interpreter, op, a.to_double(), b.to_double());
    }
    return integer_operation(interpreter, op, a.to_int(), b.to_int());
  }
  if (op == "+" &&
      ((a.is_string() && b.is_string()) || (a.as_list() != nullptr && b.as_list() != nullptr &&
                                            a.as_list()->tuple == b.as_list()->tuple))) {
    return add_sequences(interpreter, a, b);
  }
  const auto sequence = [](const Value& v) { return v.is_string() || v.as_list() != nullptr; };
  if (op == "*" && sequence(a) && (b.is_int() || b.is_bool())) {
    return repeat(interpreter, a, b.to_int());
  }
  if (op == "*" && sequence(b) && (a.is_int() || a.is_bool())) {
    return repeat(interpreter, b, a.to_int());
  }
  if (op == "%" && a.is_string()) return percent_format(interpreter, *a.as_string(), b);
  interpreter.error(fmt::format("cannot compute {} {} {}", a.type_name(), op, b.type_name()));
}

Value percent_format(Interpreter& interpreter, const std::string& format, const Value& arguments) {
  const List* list = arguments.as_list();
  const std::vector<Value> values =
      list != nullptr && list->tuple ? list->items : std::vector<Value>{arguments};
  std::string out;
  size_t used = 0;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out += format[i];
      continue;
    }
    const size_t end = format.find_first_not_of("0123456789.+- #", i + 1);
    if (end == std::string::npos) interpreter.error("incomplete format");
    const std::string flags = format.substr(i + 1, end - i - 1);
    const char kind = format[end];
    i = end;
    if (kind == '%') {
      out += '%';
      continue;
    }
    if (used == values.size()) interpreter.error("not enough arguments for format string");
    if (flags.size() > 6) interpreter.error("format flags too long");
    const Value& value = values[used++];
    if (kind == 's' || kind == 'r') {
      if (!flags.empty()) interpreter.error("string formats with a width are not supported");
      out += kind == 's' ? value.to_string() : value.repr();
      continue;
    }
    char buffer[512];
    if (kind == 'd' || kind == 'i' || kind == 'x' || kind == 'X') {
      const std::string spec = "%" + flags + "ll" + (kind == 'i' ? 'd' : kind);
      std::snprintf(buffer, sizeof(buffer), spec.c_str(), static_cast<long long>(value.to_int()));
    } else if (kind == 'f' || kind == 'e' || kind == 'g') {
      const std::string spec = "%" + flags + kind;
      std::snprintf(buffer, sizeof(buffer), spec.c_str(), value.to_double());
    } else {
      interpreter.error(fmt::format("unsupported format character '{}'", kind));
    }
    out += buffer;
  }
  if (used != values.size()) interpreter.error("not all arguments converted in string formatting");
  return interpreter.text(std::move(out));
}

}  // namespace tq::jinja
