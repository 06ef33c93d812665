// Methods of dict and list values, and which methods values have.
#include <algorithm>
#include <array>
#include <span>

#include "text/jinja/interpreter.h"
#include "text/jinja/string_methods.h"

namespace tq::jinja {
namespace {

Value get(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "get", {"key", "default"});
  const Value* value = subject(arguments).as_dict()->find(args[0]);
  if (value != nullptr) return *value;
  return args[1].is_undefined() && arguments.positional.size() < 3 ? Value(nullptr) : args[1];
}

template <bool kKeys, bool kValues>
Value entries(Interpreter&, Arguments& arguments) {
  const Dict& dict = *subject(arguments).as_dict();
  charge_steps(3 * dict.size());
  require_bytes(dict.size() * sizeof(Value));
  std::vector<Value> out;
  out.reserve(dict.size());
  for (const auto& [key, value] : dict.entries()) {
    out.push_back(kKeys && kValues ? Value(std::vector<Value>{key, value}, ListKind::kTuple)
                  : kKeys          ? key
                                   : value);
  }
  return Value(std::move(out), ListKind::kView);
}

Value copy(Interpreter&, Arguments& arguments) { return subject(arguments); }

Value list_index(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "index", {"value"});
  const auto& items = subject(arguments).as_list()->items;
  for (size_t i = 0; i < items.size(); ++i) {
    if (equal(items[i], args[0])) return Value(static_cast<int64_t>(i));
  }
  interpreter.error("index(): value is not in the list");
}

Value list_count(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "count", {"value"});
  const auto& items = subject(arguments).as_list()->items;
  return Value(static_cast<int64_t>(std::count_if(
      items.begin(), items.end(), [&](const Value& v) { return equal(v, args[0]); })));
}

constexpr std::array<BuiltinRow, 5> kDictMethods = {{
    {"copy", copy},
    {"get", get},
    {"items", entries<true, true>},
    {"keys", entries<true, false>},
    {"values", entries<false, true>},
}};
// Tuples and ranges have the first two.
constexpr std::array<BuiltinRow, 3> kListMethods = {{
    {"count", list_count},
    {"index", list_index},
    {"copy", copy},
}};

Builtin find_row(std::span<const BuiltinRow> rows, std::string_view name) {
  for (const BuiltinRow& row : rows) {
    if (row.name == name) return row.function;
  }
  return nullptr;
}

}  // namespace

Builtin find_method(const Value& object, std::string_view name) {
  if (object.is_string()) return find_row(string_methods(), name);
  if (object.as_dict() != nullptr) return find_row(kDictMethods, name);
  const List* list = object.as_list();
  if (list == nullptr || list->kind == ListKind::kIterator || list->kind == ListKind::kView) {
    return nullptr;
  }
  if (list->kind != ListKind::kList && name == "copy") return nullptr;
  return find_row(kListMethods, name);
}

bool is_forbidden_method(const Value& object, std::string_view name) {
  constexpr std::array<std::string_view, 9> kListChanges = {
      "append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort", "__setitem__"};
  constexpr std::array<std::string_view, 5> kDictChanges = {"clear", "pop", "popitem", "setdefault",
                                                            "update"};
  const auto among = [&](const auto& names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (object.as_dict() != nullptr) return among(kDictChanges);
  return object.as_list() != nullptr && object.as_list()->kind == ListKind::kList &&
         among(kListChanges);
}

}  // namespace tq::jinja
