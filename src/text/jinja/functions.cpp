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
  std::vector<Value> items;
  for (int64_t i = begin; step > 0 ? i < end : i > end; i += step) items.emplace_back(i);
  interpreter.step(static_cast<int64_t>(items.size()));
  interpreter.charge(items.size() * sizeof(Value));
  return Value(std::move(items));
}

// dict(a=1) and namespace(a=1), optionally from a mapping.
Dict dict_of(Interpreter& interpreter, Arguments& arguments) {
  Dict dict;
  if (arguments.positional.size() > 1) interpreter.error("takes at most 1 positional argument");
  if (!arguments.positional.empty()) {
    const Dict* source = arguments.positional[0].as_dict();
    if (source == nullptr) interpreter.error("expected a mapping");
    dict = *source;
  }
  for (auto& [name, value] : arguments.named) dict.set(Value(name), std::move(value));
  interpreter.charge(dict.size() * sizeof(Value));
  return dict;
}

Value make_dict(Interpreter& interpreter, Arguments& arguments) {
  return Value(dict_of(interpreter, arguments));
}

Value make_namespace(Interpreter& interpreter, Arguments& arguments) {
  return interpreter.make_namespace(dict_of(interpreter, arguments));
}

Value raise_exception(Interpreter&, Arguments& arguments) {
  fail(ErrorCode::kInvalidArgument, "the chat template refuses these messages: {}",
       arguments.positional.empty() ? "" : arguments.positional[0].to_string());
}

Value strftime_now(Interpreter& interpreter, Arguments& arguments) {
  if (arguments.positional.size() != 1 || !arguments.positional[0].is_string()) {
    interpreter.error("strftime_now() takes a format string");
  }
  const std::string& format = *arguments.positional[0].as_string();
  if (format.empty()) return Value(std::string());
  const std::time_t now = interpreter.now();
  std::tm local{};
  localtime_r(&now, &local);
  char buffer[1024];
  const size_t n = std::strftime(buffer, sizeof(buffer), format.c_str(), &local);
  if (n == 0) interpreter.error("strftime_now(): the result is too long");
  return interpreter.text(std::string(buffer, n));
}

struct Row {
  std::string_view name;
  Builtin function;
};
constexpr std::array<Row, 5> kFunctions = {{
    {"range", range},
    {"dict", make_dict},
    {"namespace", make_namespace},
    {"raise_exception", raise_exception},
    {"strftime_now", strftime_now},
}};

}  // namespace

Builtin find_function(std::string_view name) {
  for (const Row& row : kFunctions) {
    if (row.name == name) return row.function;
  }
  return nullptr;
}

}  // namespace tq::jinja
