// Global functions: range, namespace, dict, raise_exception, strftime_now.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "base/error.h"
#include "text/jinja/interpreter.h"

namespace tq::jinja {
namespace {

Value range(Interpreter& interpreter, Arguments& arguments) {
  const auto& args = arguments.positional;
  if (args.empty() || args.size() > 3) interpreter.error("range() takes 1 to 3 arguments");
  constexpr int64_t kMax = 100'000;  // as Jinja's sandbox
  for (const Value& arg : args) {
    if (!arg.is_int() && !arg.is_bool()) interpreter.error("range() takes integers");
  }
  const auto number = [&](size_t i) {
    return std::clamp<int64_t>(args[i].to_int(), -INT64_MAX / 4, INT64_MAX / 4);
  };
  const int64_t begin = args.size() == 1 ? 0 : number(0);
  const int64_t end = args.size() == 1 ? number(0) : number(1);
  const int64_t step = args.size() == 3 ? number(2) : 1;
  if (step == 0) interpreter.error("range() step must not be zero");
  const int64_t span = step > 0 ? end - begin : begin - end;
  if (span > 0 && (span - 1) / std::abs(step) >= kMax) {
    interpreter.error(fmt::format("range() longer than {}", kMax));
  }
  const auto n = static_cast<size_t>(span > 0 ? (span - 1) / std::abs(step) + 1 : 0);
  charge_steps(n);
  require_bytes(n * sizeof(Value));
  std::vector<Value> items;
  items.reserve(n);
  for (int64_t i = begin; step > 0 ? i < end : i > end; i += step) items.emplace_back(i);
  return Value(std::move(items), ListKind::kRange);
}

// dict(a=1) and namespace(a=1), optionally from a mapping.
Dict dict_of(Interpreter& interpreter, Arguments& arguments) {
  Dict dict;
  if (arguments.positional.size() > 1) interpreter.error("takes at most 1 positional argument");
  if (!arguments.positional.empty()) {
    if (arguments.positional[0].is_undefined()) {
      interpreter.error(arguments.positional[0].why_undefined());
    }
    if (const Dict* source = arguments.positional[0].as_dict()) {
      charge_steps(3 * source->size());
      dict = *source;
    } else {
      for (const Value& item : interpreter.iterate(arguments.positional[0])) {
        const std::vector<Value> entry = interpreter.iterate(item);
        if (entry.size() != 2) interpreter.error("expected a mapping or pairs");
        dict.set(entry[0], entry[1]);
      }
    }
  }
  for (auto& [name, value] : arguments.named) dict.set(Value(name), std::move(value));
  return dict;
}

Value make_dict(Interpreter& interpreter, Arguments& arguments) {
  return Value(dict_of(interpreter, arguments));
}

Value make_namespace(Interpreter& interpreter, Arguments& arguments) {
  return interpreter.make_namespace(dict_of(interpreter, arguments));
}

Value raise_exception(Interpreter&, Arguments& arguments) {
  constexpr size_t kLongest = 4000;
  const std::string message =
      arguments.positional.empty() ? "" : arguments.positional[0].to_string();
  fail(ErrorCode::kInvalidArgument, "the chat template refuses these messages: {}",
       std::string_view(message).substr(0, kLongest));
}

Value strftime_now(Interpreter& interpreter, Arguments& arguments) {
  if (arguments.positional.size() != 1 || !arguments.positional[0].is_string()) {
    interpreter.error("strftime_now() takes a format string");
  }
  const std::string& format = *arguments.positional[0].as_string();
  if (format.empty()) return Value(std::string());
  charge_characters(format.size() * 16);
  const std::time_t now = interpreter.now();
  std::tm local{};
  localtime_r(&now, &local);
  char buffer[1024];
  const size_t n = std::strftime(buffer, sizeof(buffer), format.c_str(), &local);
  if (n == 0) interpreter.error("strftime_now(): the result is too long");
  return Value(std::string(buffer, n));
}

constexpr std::array<BuiltinRow, 5> kFunctions = {{
    {"range", range},
    {"dict", make_dict},
    {"namespace", make_namespace},
    {"raise_exception", raise_exception},
    {"strftime_now", strftime_now},
}};

}  // namespace

Builtin find_function(std::string_view name) {
  for (const BuiltinRow& row : kFunctions) {
    if (row.name == name) return row.function;
  }
  return nullptr;
}

}  // namespace tq::jinja
