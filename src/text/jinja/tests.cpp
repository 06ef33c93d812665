// Tests: the `x is NAME(args)` of templates.
#include <array>

#include "text/jinja/interpreter.h"
#include "text/jinja/unicode.h"

namespace tq::jinja {
namespace {

const Value& subject(const Arguments& arguments) { return arguments.positional[0]; }

const Value& other(Interpreter& interpreter, const Arguments& arguments) {
  if (arguments.positional.size() != 2) interpreter.error("this test takes one argument");
  return arguments.positional[1];
}

template <bool (*kTest)(const Value&)>
Value unary(Interpreter&, Arguments& arguments) {
  return Value(kTest(subject(arguments)));
}

bool defined(const Value& v) { return !v.is_undefined(); }
bool undefined(const Value& v) { return v.is_undefined(); }
bool none(const Value& v) { return v.is_none(); }
bool string(const Value& v) { return v.is_string(); }
bool number(const Value& v) { return v.is_number(); }
bool integer(const Value& v) { return v.is_int(); }
bool floating(const Value& v) { return v.is_float(); }
bool boolean(const Value& v) { return v.is_bool(); }
bool is_true(const Value& v) { return v.is_bool() && v.truthy(); }
bool is_false(const Value& v) { return v.is_bool() && !v.truthy(); }
bool mapping(const Value& v) { return v.as_dict() != nullptr; }
bool iterable(const Value& v) {
  return v.is_undefined() || v.is_string() || v.as_list() != nullptr || v.as_dict() != nullptr;
}
// Jinja calls all that has a length and items a sequence: dicts too.
bool sequence(const Value& v) {
  return v.is_undefined() || v.is_string() || v.as_list() != nullptr || v.as_dict() != nullptr;
}
bool callable(const Value& v) { return v.as_callable() != nullptr; }
bool odd(const Value& v) { return v.to_int() % 2 != 0; }
bool even(const Value& v) { return v.to_int() % 2 == 0; }
bool lower(const Value& v) {
  const std::string text = v.to_string();
  return to_lower(text) == text && to_upper(text) != text;
}
bool upper(const Value& v) {
  const std::string text = v.to_string();
  return to_upper(text) == text && to_lower(text) != text;
}

Value equal_to(Interpreter& interpreter, Arguments& arguments) {
  return Value(equal(subject(arguments), other(interpreter, arguments)));
}
Value not_equal_to(Interpreter& interpreter, Arguments& arguments) {
  return Value(!equal(subject(arguments), other(interpreter, arguments)));
}
template <bool kGreater, bool kOrEqual>
Value ordered(Interpreter& interpreter, Arguments& arguments) {
  const int order = compare(subject(arguments), other(interpreter, arguments));
  return Value(kGreater ? (kOrEqual ? order >= 0 : order > 0)
                        : (kOrEqual ? order <= 0 : order < 0));
}
Value in(Interpreter& interpreter, Arguments& arguments) {
  const Value& container = other(interpreter, arguments);
  if (container.is_string() && subject(arguments).is_string()) {
    return Value(container.as_string()->find(*subject(arguments).as_string()) != std::string::npos);
  }
  for (const Value& item : interpreter.iterate(container)) {
    if (equal(item, subject(arguments))) return Value(true);
  }
  return Value(false);
}
Value same_as(Interpreter& interpreter, Arguments& arguments) {
  const Value& a = subject(arguments);
  const Value& b = other(interpreter, arguments);
  return Value(a.variant().index() == b.variant().index() && equal(a, b));
}
Value divisible_by(Interpreter& interpreter, Arguments& arguments) {
  const int64_t divisor = other(interpreter, arguments).to_int();
  if (divisor == 0) interpreter.error("division by zero");
  return Value(divisor == -1 || subject(arguments).to_int() % divisor == 0);
}
Value filter_exists(Interpreter&, Arguments& arguments) {
  return Value(find_filter(subject(arguments).to_string()) != nullptr);
}
Value test_exists(Interpreter&, Arguments& arguments) {
  return Value(find_test(subject(arguments).to_string()) != nullptr);
}

struct Row {
  std::string_view name;
  Builtin function;
};
constexpr std::array<Row, 38> kTests = {{
    {"defined", unary<defined>},
    {"undefined", unary<undefined>},
    {"none", unary<none>},
    {"string", unary<string>},
    {"number", unary<number>},
    {"integer", unary<integer>},
    {"float", unary<floating>},
    {"boolean", unary<boolean>},
    {"true", unary<is_true>},
    {"false", unary<is_false>},
    {"mapping", unary<mapping>},
    {"iterable", unary<iterable>},
    {"sequence", unary<sequence>},
    {"callable", unary<callable>},
    {"odd", unary<odd>},
    {"even", unary<even>},
    {"lower", unary<lower>},
    {"upper", unary<upper>},
    {"in", in},
    {"sameas", same_as},
    {"divisibleby", divisible_by},
    {"filter", filter_exists},
    {"test", test_exists},
    {"eq", equal_to},
    {"equalto", equal_to},
    {"==", equal_to},
    {"ne", not_equal_to},
    {"!=", not_equal_to},
    {"lt", ordered<false, false>},
    {"lessthan", ordered<false, false>},
    {"<", ordered<false, false>},
    {"le", ordered<false, true>},
    {"<=", ordered<false, true>},
    {"gt", ordered<true, false>},
    {"greaterthan", ordered<true, false>},
    {">", ordered<true, false>},
    {"ge", ordered<true, true>},
    {">=", ordered<true, true>},
}};

}  // namespace

Builtin find_test(std::string_view name) {
  for (const Row& row : kTests) {
    if (row.name == name) return row.function;
  }
  return nullptr;
}

}  // namespace tq::jinja
