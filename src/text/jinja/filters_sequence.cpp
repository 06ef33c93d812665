// Filters of lists, dicts and other sequences. Those that Jinja computes lazily give iterators:
// true even when nothing is in them, without a length, and gone once they were read.
#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/filters.h"
#include "text/jinja/unicode.h"

namespace tq::jinja {
namespace {

Value iterator(std::vector<Value> items) { return Value(std::move(items), ListKind::kIterator); }

bool is_iterator(const Value& value) {
  return value.as_list() != nullptr && value.as_list()->kind == ListKind::kIterator;
}

Value length(Interpreter& interpreter, Arguments& arguments) {
  const Value& value = subject(arguments);
  if (const std::string* s = value.as_string()) {
    charge_characters(s->size());
    return Value(character_count(*s));
  }
  if (value.as_list() != nullptr && !is_iterator(value)) {
    return Value(static_cast<int64_t>(value.as_list()->items.size()));
  }
  if (const Dict* dict = value.as_dict()) return Value(static_cast<int64_t>(dict->size()));
  if (value.is_undefined()) return Value(int64_t{0});
  interpreter.error(fmt::format("a {} has no length", value.type_name()));
}

Value first(Interpreter& interpreter, Arguments& arguments) {
  if (is_iterator(subject(arguments))) {  // only the first is taken
    const List& list = *subject(arguments).as_list();
    if (list.n_read < list.items.size()) return list.items[list.n_read++];
    return Value::undefined("no first item, sequence was empty");
  }
  const auto items = interpreter.iterate(subject(arguments));
  return items.empty() ? Value::undefined("no first item, sequence was empty") : items.front();
}

Value last(Interpreter& interpreter, Arguments& arguments) {
  if (is_iterator(subject(arguments))) interpreter.error("last: a generator cannot be reversed");
  const auto items = interpreter.iterate(subject(arguments));
  return items.empty() ? Value::undefined("no last item, sequence was empty") : items.back();
}

Value list(Interpreter& interpreter, Arguments& arguments) {
  return Value(interpreter.iterate(subject(arguments)));
}

Value reverse(Interpreter& interpreter, Arguments& arguments) {
  auto items = interpreter.iterate(subject(arguments));
  std::reverse(items.begin(), items.end());
  if (!subject(arguments).is_string()) return iterator(std::move(items));
  TextBuilder out;
  for (const Value& item : items) out += *item.as_string();
  return Value(out.take());
}

Value join(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "join", {"d", "attribute"});
  const std::string separator = args[0].to_string();
  TextBuilder out;
  bool begin = true;
  for (const Value& item : interpreter.iterate(subject(arguments))) {
    if (!begin) out += separator;
    begin = false;
    if (args[1].is_undefined() || args[1].is_none()) {
      item.write_to(out);
    } else {
      interpreter.attribute_path(item, args[1]).write_to(out);
    }
  }
  return Value(out.take());
}

Value default_value(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "default", {"default_value", "boolean"});
  const Value& value = subject(arguments);
  const bool use = value.is_undefined() || (args[1].truthy() && !value.truthy());
  if (!use) return value;
  return args[0].is_undefined() ? Value(std::string()) : args[0];
}

Value pair(const Value& a, const Value& b) {
  return Value(std::vector<Value>{a, b}, ListKind::kTuple);
}

Value items(Interpreter& interpreter, Arguments& arguments) {
  std::vector<Value> out;
  if (subject(arguments).is_undefined()) return iterator(std::move(out));
  const Dict* dict = subject(arguments).as_dict();
  if (dict == nullptr) interpreter.error("items: expected a mapping");
  charge_steps(3 * dict->size());
  for (const auto& [key, value] : dict->entries()) out.push_back(pair(key, value));
  return iterator(std::move(out));
}

// Sorting ignores case unless told otherwise.
Value sort_key(const Value& value, bool case_sensitive) {
  if (case_sensitive || !value.is_string()) return value;
  return Value(to_lower(*value.as_string()));
}

struct Keyed {
  Value key;
  Value value;
};

// What n items take while they are sorted.
void require_keyed(size_t n) {
  charge_steps(2 * n);
  require_bytes(n * (2 * sizeof(Keyed) + sizeof(Value)));
}

std::vector<Value> sorted(std::vector<Keyed> keyed, bool descending) {
  std::stable_sort(keyed.begin(), keyed.end(), [descending](const Keyed& a, const Keyed& b) {
    return descending ? compare(b.key, a.key) < 0 : compare(a.key, b.key) < 0;
  });
  std::vector<Value> out;
  out.reserve(keyed.size());
  for (Keyed& item : keyed) out.push_back(std::move(item.value));
  return out;
}

std::vector<Keyed> keyed_items(Interpreter& interpreter, const Value& source,
                               const Value& attribute, bool case_sensitive) {
  std::vector<Value> items = interpreter.iterate(source);
  require_keyed(items.size());
  std::vector<Keyed> keyed;
  keyed.reserve(items.size());
  for (Value& item : items) {
    const Value key = attribute.is_undefined() || attribute.is_none()
                          ? item
                          : interpreter.attribute_path(item, attribute);
    keyed.push_back({sort_key(key, case_sensitive), std::move(item)});
  }
  return keyed;
}

// "a,b" sorts by a, then by b.
Value sort_attributes(const Value& attribute, Interpreter& interpreter, const Value& item,
                      bool case_sensitive) {
  const std::string names = attribute.to_string();
  std::vector<Value> keys;
  for (size_t begin = 0; begin <= names.size();) {
    const size_t end = std::min(names.find(',', begin), names.size());
    const Value key = interpreter.attribute_path(item, Value(names.substr(begin, end - begin)));
    keys.push_back(sort_key(key, case_sensitive));
    begin = end + 1;
  }
  return Value(std::move(keys), ListKind::kTuple);
}

Value sort(Interpreter& interpreter, Arguments& arguments) {
  const auto args =
      bind_arguments(interpreter, arguments, "sort", {"reverse", "case_sensitive", "attribute"});
  const bool case_sensitive = args[1].truthy();
  const bool several = args[2].is_string() && args[2].as_string()->find(',') != std::string::npos;
  auto keyed = keyed_items(interpreter, subject(arguments), several ? Value() : args[2],
                           case_sensitive || several);
  if (several) {
    for (Keyed& item : keyed) {
      item.key = sort_attributes(args[2], interpreter, item.value, case_sensitive);
    }
  }
  return Value(sorted(std::move(keyed), args[0].truthy()));
}

Value dictsort(Interpreter& interpreter, Arguments& arguments) {
  const auto args =
      bind_arguments(interpreter, arguments, "dictsort", {"case_sensitive", "by", "reverse"});
  const Dict* dict = subject(arguments).as_dict();
  if (dict == nullptr) interpreter.error("dictsort: expected a mapping");
  const std::string by = args[1].is_undefined() ? "key" : args[1].to_string();
  if (by != "key" && by != "value") interpreter.error("dictsort: by must be key or value");
  require_keyed(dict->size());
  std::vector<Keyed> keyed;
  for (const auto& [key, value] : dict->entries()) {
    keyed.push_back({sort_key(by == "value" ? value : key, args[0].truthy()), pair(key, value)});
  }
  return Value(sorted(std::move(keyed), args[2].truthy()));
}

Value unique(Interpreter& interpreter, Arguments& arguments) {
  const auto args =
      bind_arguments(interpreter, arguments, "unique", {"case_sensitive", "attribute"});
  std::vector<Value> out;
  Dict seen;
  for (Keyed& item : keyed_items(interpreter, subject(arguments), args[1], args[0].truthy())) {
    if (seen.find(item.key) != nullptr) continue;
    seen.set(item.key, Value(true));
    out.push_back(std::move(item.value));
  }
  return iterator(std::move(out));
}

template <int kSign>
Value extreme(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, kSign < 0 ? "min" : "max",
                                   {"case_sensitive", "attribute"});
  auto keyed = keyed_items(interpreter, subject(arguments), args[1], args[0].truthy());
  if (keyed.empty()) return Value::undefined("no items, sequence was empty");
  size_t best = 0;
  for (size_t i = 1; i < keyed.size(); ++i) {
    if (compare(keyed[i].key, keyed[best].key) * kSign > 0) best = i;
  }
  return keyed[best].value;
}

Value sum(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "sum", {"attribute", "start"});
  Value total = args[1].is_undefined() ? Value(int64_t{0}) : args[1];
  const bool whole = args[0].is_undefined() || args[0].is_none();
  for (const Value& item : interpreter.iterate(subject(arguments))) {
    total = binary_operation(interpreter, "+", total,
                             whole ? item : interpreter.attribute_path(item, args[0]));
  }
  return total;
}

Value batch(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "batch", {"linecount", "fill_with"});
  const int64_t size = args[0].to_int();
  if (size < 1) interpreter.error("batch: the size must be positive");
  std::vector<Value> out;
  std::vector<Value> line;
  for (Value& item : interpreter.iterate(subject(arguments))) {
    line.push_back(std::move(item));
    if (static_cast<int64_t>(line.size()) == size) out.emplace_back(std::exchange(line, {}));
  }
  if (!line.empty()) {
    const bool fills = !args[1].is_undefined() && !args[1].is_none();
    const auto n_missing = fills ? static_cast<size_t>(size) - line.size() : 0;
    charge_steps(n_missing);
    require_bytes(std::min(n_missing, SIZE_MAX / 64) * sizeof(Value));
    line.insert(line.end(), n_missing, args[1]);
    out.emplace_back(std::move(line));
  }
  return iterator(std::move(out));
}

// slice(3): three lists of nearly equal length, the longer ones first.
Value slice(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "slice", {"slices", "fill_with"});
  const auto items = interpreter.iterate(subject(arguments));
  const int64_t n_slices = args[0].to_int();
  if (n_slices < 1) interpreter.error("slice: the number of slices must be positive");
  charge_steps(static_cast<size_t>(n_slices));
  require_bytes(static_cast<size_t>(std::min(n_slices, INT64_MAX / 1024)) * 160);
  const auto n = static_cast<int64_t>(items.size());
  std::vector<Value> out;
  auto at = items.begin();
  for (int64_t i = 0; i < n_slices; ++i) {
    const bool longer = i < n % n_slices;
    const auto end = at + (n / n_slices + (longer ? 1 : 0));
    std::vector<Value> part(at, end);
    const bool fills = !args[1].is_undefined() && !args[1].is_none();
    if (fills && !longer && n % n_slices != 0) part.push_back(args[1]);
    out.emplace_back(std::move(part));
    at = end;
  }
  return iterator(std::move(out));
}

// A list of (grouper, list), sorted by the grouper.
Value groupby(Interpreter& interpreter, Arguments& arguments) {
  const auto args =
      bind_arguments(interpreter, arguments, "groupby", {"attribute", "default", "case_sensitive"});
  std::vector<Value> items = interpreter.iterate(subject(arguments));
  require_keyed(items.size());
  std::vector<Keyed> keyed;
  for (Value& item : items) {
    const Value key =
        interpreter.attribute_path(item, args[0], args[1].is_undefined() ? nullptr : &args[1]);
    keyed.push_back({sort_key(key, args[2].truthy()), pair(key, item)});
  }
  std::stable_sort(keyed.begin(), keyed.end(),
                   [](const Keyed& a, const Keyed& b) { return compare(a.key, b.key) < 0; });
  std::vector<Value> out;
  for (size_t i = 0; i < keyed.size();) {
    std::vector<Value> group;
    size_t end = i;
    while (end < keyed.size() && equal(keyed[end].key, keyed[i].key)) {
      group.push_back(keyed[end++].value.as_list()->items[1]);
    }
    out.push_back(pair(keyed[i].value.as_list()->items[0], Value(std::move(group))));
    i = end;
  }
  return Value(std::move(out));
}

Value attr(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "attr", {"name"});
  return interpreter.python_attribute(subject(arguments), args[0].to_string());
}

Value map(Interpreter& interpreter, Arguments& arguments) {
  std::vector<Value> out;
  if (!subject(arguments).truthy()) return iterator(std::move(out));  // none too
  const auto source = interpreter.iterate(subject(arguments));
  if (arguments.positional.size() == 1) {
    const auto args = bind_arguments(interpreter, arguments, "map", {"attribute", "default"});
    if (args[0].is_undefined()) interpreter.error("map: neither a filter nor an attribute");
    const Value* fallback = args[1].is_undefined() || args[1].is_none() ? nullptr : &args[1];
    for (const Value& item : source) {
      out.push_back(interpreter.attribute_path(item, args[0], fallback));
    }
    return iterator(std::move(out));
  }
  const std::string name = arguments.positional[1].to_string();
  for (const Value& item : source) {
    Arguments call;
    call.positional.push_back(item);
    call.positional.insert(call.positional.end(), arguments.positional.begin() + 2,
                           arguments.positional.end());
    call.named = arguments.named;
    out.push_back(interpreter.filter(name, call));
  }
  return iterator(std::move(out));
}

// select, reject (kAttribute: selectattr, rejectattr): items (or an attribute of theirs) that pass
// a test. Of what is false, none too, there are no items.
template <bool kKeep, bool kAttribute>
Value select(Interpreter& interpreter, Arguments& arguments) {
  auto& args = arguments.positional;
  std::vector<Value> out;
  if (!args[0].truthy()) return iterator(std::move(out));
  const size_t skip = kAttribute ? 2 : 1;
  if (args.size() < skip) interpreter.error("selectattr/rejectattr need an attribute");
  for (const Value& item : interpreter.iterate(args[0])) {
    const Value value = kAttribute ? interpreter.attribute_path(item, args[1]) : item;
    bool passes = value.truthy();
    if (args.size() > skip) {
      Arguments call;
      call.positional.push_back(value);
      call.positional.insert(call.positional.end(),
                             args.begin() + static_cast<std::ptrdiff_t>(skip) + 1, args.end());
      passes = interpreter.test(args[skip].to_string(), call);
    }
    if (passes == kKeep) out.push_back(item);
  }
  return iterator(std::move(out));
}

constexpr BuiltinRow kSequenceFilters[] = {
    {"attr", attr},
    {"batch", batch},
    {"count", length},
    {"d", default_value},
    {"default", default_value},
    {"dictsort", dictsort},
    {"first", first},
    {"groupby", groupby},
    {"items", items},
    {"join", join},
    {"last", last},
    {"length", length},
    {"list", list},
    {"map", map},
    {"max", extreme<1>},
    {"min", extreme<-1>},
    {"reject", select<false, false>},
    {"rejectattr", select<false, true>},
    {"reverse", reverse},
    {"select", select<true, false>},
    {"selectattr", select<true, true>},
    {"slice", slice},
    {"sort", sort},
    {"sum", sum},
    {"unique", unique},
};

}  // namespace

std::span<const BuiltinRow> sequence_filters() { return kSequenceFilters; }

}  // namespace tq::jinja
