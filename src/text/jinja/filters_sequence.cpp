// Filters of lists, dicts and other sequences. Those that Jinja computes lazily give iterators:
// true even when nothing is in them, without a length, and gone once they were read.
#include <fmt/format.h>

#include <algorithm>
#include <exception>

#include "base/error.h"
#include "text/jinja/filters.h"
#include "text/jinja/unicode.h"

namespace tq::jinja {
namespace {

// The items of a generator, which is run at once. What its body throws, an item that cannot be
// computed or wrong arguments, is thrown where so far is read, as it would be in Python; what is
// past a limit, at once.
using Generator = void (*)(Interpreter&, Arguments&, std::vector<Value>& out);

template <Generator kBody>
Value lazy(Interpreter& interpreter, Arguments& arguments) {
  std::vector<Value> out;
  try {
    kBody(interpreter, arguments, out);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidArgument) throw;
    return Value::iterator(std::move(out), std::current_exception());
  }
  return Value::iterator(std::move(out));
}

// each(item) for what there is, then what the source fails with.
template <typename Each>
void for_each(Interpreter& interpreter, const Value& source, Each each) {
  std::exception_ptr failure;
  for (Value& item : interpreter.iterate(source, &failure)) each(item);
  if (failure) std::rethrow_exception(failure);
}

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
    if (list.failure) std::rethrow_exception(list.failure);
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
  if (!subject(arguments).is_string()) return Value::iterator(std::move(items));
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

void items(Interpreter& interpreter, Arguments& arguments, std::vector<Value>& out) {
  if (subject(arguments).is_undefined()) return;
  const Dict* dict = subject(arguments).as_dict();
  if (dict == nullptr) interpreter.error("items: expected a mapping");
  charge_steps(3 * dict->size());
  for (const auto& [key, value] : dict->entries()) out.push_back(pair(key, value));
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

Value key_of(Interpreter& interpreter, const Value& item, const Value& attribute,
             bool case_sensitive) {
  const bool whole = attribute.is_undefined() || attribute.is_none();
  return sort_key(whole ? item : interpreter.attribute_path(item, attribute), case_sensitive);
}

std::vector<Keyed> keyed_items(Interpreter& interpreter, const Value& source,
                               const Value& attribute, bool case_sensitive) {
  std::vector<Value> items = interpreter.iterate(source);
  require_keyed(items.size());
  std::vector<Keyed> keyed;
  keyed.reserve(items.size());
  for (Value& item : items) {
    Value key = key_of(interpreter, item, attribute, case_sensitive);
    keyed.push_back({std::move(key), std::move(item)});
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

void unique(Interpreter& interpreter, Arguments& arguments, std::vector<Value>& out) {
  const auto args =
      bind_arguments(interpreter, arguments, "unique", {"case_sensitive", "attribute"});
  Dict seen;
  for_each(interpreter, subject(arguments), [&](Value& item) {
    const Value key = key_of(interpreter, item, args[1], args[0].truthy());
    if (seen.find(key) != nullptr) return;
    seen.set(key, Value(true));
    out.push_back(std::move(item));
  });
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

void batch(Interpreter& interpreter, Arguments& arguments, std::vector<Value>& out) {
  const auto args = bind_arguments(interpreter, arguments, "batch", {"linecount", "fill_with"});
  const int64_t size = args[0].to_int();
  if (size < 1) interpreter.error("batch: the size must be positive");
  std::vector<Value> line;
  for_each(interpreter, subject(arguments), [&](Value& item) {
    // A full line is given when the next item has come.
    if (static_cast<int64_t>(line.size()) == size) out.emplace_back(std::exchange(line, {}));
    line.push_back(std::move(item));
  });
  if (line.empty()) return;
  const bool fills = !args[1].is_undefined() && !args[1].is_none();
  const auto n_missing = fills ? static_cast<size_t>(size) - line.size() : 0;
  charge_steps(n_missing);
  require_bytes(std::min(n_missing, SIZE_MAX / 64) * sizeof(Value));
  line.insert(line.end(), n_missing, args[1]);
  out.emplace_back(std::move(line));
}

// slice(3): three lists of nearly equal length, the longer ones first.
void slice(Interpreter& interpreter, Arguments& arguments, std::vector<Value>& out) {
  const auto args = bind_arguments(interpreter, arguments, "slice", {"slices", "fill_with"});
  const auto items = interpreter.iterate(subject(arguments));
  const int64_t n_slices = args[0].to_int();
  if (n_slices < 1) interpreter.error("slice: the number of slices must be positive");
  charge_steps(static_cast<size_t>(n_slices));
  require_bytes(static_cast<size_t>(std::min(n_slices, INT64_MAX / 1024)) * 160);
  const auto n = static_cast<int64_t>(items.size());
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

void map(Interpreter& interpreter, Arguments& arguments, std::vector<Value>& out) {
  if (!subject(arguments).truthy()) return;  // none too
  if (arguments.positional.size() == 1) {
    const auto args = bind_arguments(interpreter, arguments, "map", {"attribute", "default"});
    if (args[0].is_undefined()) interpreter.error("map: neither a filter nor an attribute");
    const Value* fallback = args[1].is_undefined() || args[1].is_none() ? nullptr : &args[1];
    for_each(interpreter, subject(arguments), [&](const Value& item) {
      out.push_back(interpreter.attribute_path(item, args[0], fallback));
    });
    return;
  }
  const std::string name = arguments.positional[1].to_string();
  for_each(interpreter, subject(arguments), [&](const Value& item) {
    Arguments call;
    call.positional.push_back(item);
    call.positional.insert(call.positional.end(), arguments.positional.begin() + 2,
                           arguments.positional.end());
    call.named = arguments.named;
    out.push_back(interpreter.filter(name, call));
  });
}

// select, reject (kAttribute: selectattr, rejectattr): items (or an attribute of theirs) that pass
// a test. Of what is false, none too, there are no items.
template <bool kKeep, bool kAttribute>
void select(Interpreter& interpreter, Arguments& arguments, std::vector<Value>& out) {
  auto& args = arguments.positional;
  if (!args[0].truthy()) return;
  const size_t skip = kAttribute ? 2 : 1;
  if (args.size() < skip) interpreter.error("selectattr/rejectattr need an attribute");
  for_each(interpreter, args[0], [&](const Value& item) {
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
  });
}

constexpr BuiltinRow kSequenceFilters[] = {
    {"attr", attr},
    {"batch", lazy<batch>},
    {"count", length},
    {"d", default_value},
    {"default", default_value},
    {"dictsort", dictsort},
    {"first", first},
    {"groupby", groupby},
    {"items", lazy<items>},
    {"join", join},
    {"last", last},
    {"length", length},
    {"list", list},
    {"map", lazy<map>},
    {"max", extreme<1>},
    {"min", extreme<-1>},
    {"reject", lazy<select<false, false>>},
    {"rejectattr", lazy<select<false, true>>},
    {"reverse", reverse},
    {"select", lazy<select<true, false>>},
    {"selectattr", lazy<select<true, true>>},
    {"slice", lazy<slice>},
    {"sort", sort},
    {"sum", sum},
    {"unique", lazy<unique>},
};

}  // namespace

std::span<const BuiltinRow> sequence_filters() { return kSequenceFilters; }

}  // namespace tq::jinja
