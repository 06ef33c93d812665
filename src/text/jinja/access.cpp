// What the interpreter reads from values: attributes, items, membership, iteration.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/scope.h"
#include "text/jinja/text_search.h"
#include "text/jinja/unicode.h"

namespace tq::jinja {
namespace {

// Values of a list's kinds that Python can index.
bool has_items(const List& list) {
  return list.kind != ListKind::kIterator && list.kind != ListKind::kView;
}

Value number(size_t n) { return Value(static_cast<int64_t>(n)); }

}  // namespace

bool Interpreter::contains(const Value& container, const Value& item) {
  if (const std::string* s = container.as_string()) {
    if (!item.is_string()) {
      error(fmt::format("'in <string>' requires a string, not {}", item.type_name()));
    }
    return find_text(*s, *item.as_string(), 0) != std::string::npos;
  }
  if (const Dict* dict = container.as_dict()) return dict->find(item) != nullptr;
  if (const List* list = container.as_list()) {
    const bool once = list->kind == ListKind::kIterator;
    for (size_t i = once ? list->n_read : 0; i < list->items.size(); ++i) {
      if (once) list->n_read = i + 1;
      if (equal(list->items[i], item)) return true;
    }
    if (list->failure) std::rethrow_exception(list->failure);
    return false;
  }
  if (container.is_undefined()) return false;
  error(fmt::format("a {} cannot be searched with 'in'", container.type_name()));
}

Value Interpreter::loop_attribute(const std::shared_ptr<Loop>& loop,
                                  const std::string& name) const {
  const size_t i = loop->index;
  const size_t n = loop->items.size();
  if (name == "index") return number(i + 1);
  if (name == "index0") return number(i);
  if (name == "revindex") return number(n - i);
  if (name == "revindex0") return number(n - i - 1);
  if (name == "first") return Value(i == 0);
  if (name == "last") return Value(i + 1 == n);
  if (name == "length") return number(n);
  if (name == "depth") return number(1);
  if (name == "depth0") return number(0);
  if (name == "previtem") {
    return i > 0 ? loop->items[i - 1] : Value::undefined("there is no previous item");
  }
  if (name == "nextitem") {
    return i + 1 < n ? loop->items[i + 1] : Value::undefined("there is no next item");
  }
  if (name == "cycle") {
    return Value(Callable{name,
                          [loop](Interpreter& interpreter, Arguments& arguments) {
                            const auto& items = arguments.positional;
                            if (items.empty()) interpreter.error("loop.cycle() without items");
                            return items[loop->index % items.size()];
                          },
                          loop->depth});
  }
  if (name == "changed") {
    return Value(Callable{name,
                          [loop](Interpreter&, Arguments& arguments) {
                            const auto& now = arguments.positional;
                            const bool same = loop->has_last &&
                                              std::equal(now.begin(), now.end(), loop->last.begin(),
                                                         loop->last.end(), equal);
                            loop->has_last = !loop->ended;
                            if (!loop->ended) loop->last = now;
                            return Value(!same);
                          },
                          loop->depth});
  }
  return Value::undefined(fmt::format("loop has no attribute '{:.100}'", name));
}

Value Interpreter::bound_method(const Value& object, const std::string& name) {
  if (is_forbidden_method(object, name)) {
    return Value::undefined(
        fmt::format("changing a {} is not allowed in a template", object.type_name()));
  }
  const Builtin method = find_method(object, name);
  if (method == nullptr) return Value();
  return Value(Callable{name,
                        [object, method](Interpreter& interpreter, Arguments& arguments) {
                          arguments.positional.insert(arguments.positional.begin(), object);
                          return method(interpreter, arguments);
                        },
                        object.depth()});
}

Value Interpreter::python_attribute(const Value& object, const std::string& name) {
  if (object.is_undefined()) error(object.why_undefined());
  if (const Namespace* ns = object.as_namespace()) {
    const Value* value = ns->attributes.find(name);
    return value != nullptr ? *value
                            : Value::undefined(fmt::format("namespace has no '{:.100}'", name));
  }
  if (const auto loop = object.as_loop()) return loop_attribute(loop, name);
  return bound_method(object, name);
}

Value Interpreter::attribute(const Value& object, const std::string& name) {
  charge_steps(1);
  Value value = python_attribute(object, name);
  if (!value.is_undefined() || object.as_namespace() != nullptr || object.as_loop() != nullptr) {
    return value;
  }
  const Dict* dict = object.as_dict();
  // A method that is forbidden hides an entry of its name, as in the sandbox.
  if (is_forbidden_method(object, name)) return value;
  if (dict != nullptr) {
    if (const Value* entry = dict->find(name)) return *entry;
  }
  return Value::undefined(
      fmt::format("'{} object' has no attribute '{:.100}'", object.type_name(), name));
}

Value Interpreter::subscript(const Value& object, const Value& key) {
  if (object.is_undefined()) error(object.why_undefined());
  if (const Dict* dict = object.as_dict()) {
    const bool hashable =
        key.as_dict() == nullptr && (key.as_list() == nullptr || key.as_list()->is_tuple());
    if (const Value* value = hashable ? dict->find(key) : nullptr) return *value;
  } else if (key.is_int() || key.is_bool()) {
    const int64_t i = key.to_int();
    const List* list = object.as_list();
    if (list != nullptr && has_items(*list)) {
      const auto n = static_cast<int64_t>(list->items.size());
      if (i >= -n && i < n) return list->items[static_cast<size_t>(i < 0 ? i + n : i)];
    } else if (const std::string* s = object.as_string()) {
      charge_characters(s->size());
      const int64_t n = i < 0 ? character_count(*s) : 0;
      const size_t at = i + n < 0 ? s->size() : character_offset(*s, 0, i + n);
      if (at < s->size()) return Value(s->substr(at, character_offset(*s, at, 1) - at));
    }
  }
  if (const std::string* name = key.as_string()) {
    Value value = python_attribute(object, *name);
    if (!value.is_undefined()) return value;
  }
  return Value::undefined(
      fmt::format("'{} object' has no element {}", object.type_name(), key.short_repr()));
}

Value Interpreter::attribute_path(const Value& object, const Value& path, const Value* fallback) {
  const auto or_fallback = [&](Value value) {
    return value.is_undefined() && fallback != nullptr ? *fallback : value;
  };
  if (path.is_none()) return object;
  if (path.is_int()) return or_fallback(subscript(object, path));
  Value value = object;
  const std::string text_path = path.to_string();
  for (size_t begin = 0; begin <= text_path.size();) {
    charge_steps(2);
    const size_t end = std::min(text_path.find('.', begin), text_path.size());
    std::string part = text_path.substr(begin, end - begin);
    const bool is_number = !part.empty() && part.size() < 10 &&
                           part.find_first_not_of("0123456789") == std::string::npos;
    value = or_fallback(
        subscript(value, is_number ? Value(int64_t{std::stol(part)}) : Value(std::move(part))));
    begin = end + 1;
  }
  return value;
}

std::vector<Value> Interpreter::iterate(const Value& value, std::exception_ptr* failure) {
  std::vector<Value> items;
  const auto expect = [&](size_t n) {
    charge_steps(n);
    require_bytes(n * sizeof(Value));
    items.reserve(n);
  };
  if (const List* list = value.as_list()) {
    const size_t begin = list->kind == ListKind::kIterator ? list->n_read : 0;
    expect(list->items.size() - begin);
    items.assign(list->items.begin() + static_cast<std::ptrdiff_t>(begin), list->items.end());
    if (list->kind == ListKind::kIterator) list->n_read = list->items.size();
    if (list->failure && failure == nullptr) std::rethrow_exception(list->failure);
    if (list->failure) *failure = list->failure;
  } else if (const Dict* dict = value.as_dict()) {
    expect(dict->size());
    for (const auto& entry : dict->entries()) items.push_back(entry.first);
  } else if (const std::string* s = value.as_string()) {
    charge_steps(s->size());
    for (size_t pos = 0, length = 0; pos < s->size(); pos += length) {
      decode_utf8(*s, pos, length);
      items.emplace_back(std::string_view(*s).substr(pos, length));
    }
  } else if (!value.is_undefined()) {
    error(fmt::format("a {} cannot be iterated", value.type_name()));
  }
  return items;
}

}  // namespace tq::jinja
