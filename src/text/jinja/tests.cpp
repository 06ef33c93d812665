// Tests: the `x is NAME(args)` of templates.
#include <array>

#include "text/jinja/interpreter.h"
#include "text/jinja/unicode.h"

namespace tq::jinja {
namespace {

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
  return v.is_undefined() || v.is_string() || v.as_list() != nullptr || v.as_dict() != nullptr ||
         v.as_loop() != nullptr;
}
// Jinja calls all that has a length and items a sequence: dicts too.
bool sequence(const Value& v) {
  const List* list = v.as_list();
  const bool indexed =
      list != nullptr && list->kind != ListKind::kIterator && list->kind != ListKind::kView;
  return v.is_undefined() || v.is_string() || indexed || v.as_dict() != nullptr;
}
bool callable(const Value& v) { return v.as_callable() != nullptr || v.is_undefined(); }
bool escaped(const Value&) { return false; }

// x % 2 as Python has it, of floats too.
double modulo(Interpreter& interpreter, const Value& value, const Value& divisor) {
  return binary_operation(interpreter, "%", value, divisor).to_double();
}
template <int kRest>
Value rest_of_two(Interpreter& interpreter, Arguments& arguments) {
  return Value(modulo(interpreter, subject(arguments), Value(int64_t{2})) == kRest);
}
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
  return Value(interpreter.contains(other(interpreter, arguments), subject(arguments)));
}
Value same_as(Interpreter& interpreter, Arguments& arguments) {
  const Value& a = subject(arguments);
  const Value& b = other(interpreter, arguments);
  return Value(a.variant().index() == b.variant().index() && equal(a, b));
}
Value divisible_by(Interpreter& interpreter, Arguments& arguments) {
  return Value(modulo(interpreter, subject(arguments), other(interpreter, arguments)) == 0);
}
Value filter_exists(Interpreter&, Arguments& arguments) {
  return Value(find_filter(subject(arguments).to_string()) != nullptr);
}
Value test_exists(Interpreter&, Arguments& arguments) {
  return Value(find_test(subject(arguments).to_string()) != nullptr);
}

constexpr std::array<BuiltinRow, 39> kTests = {{
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
    {"escaped", unary<escaped>},
    {"odd", rest_of_two<1>},
    {"even", rest_of_two<0>},
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
  for (const BuiltinRow& row : kTests) {
    if (row.name == name) return row.function;
  }
  return nullptr;
}

}  // namespace tq::jinja
