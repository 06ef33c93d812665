// Filters: the `x | NAME(args)` of templates.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdlib>

#include "text/jinja/interpreter.h"
#include "text/jinja/unicode.h"

namespace tq::jinja {
namespace {

const Value& subject(const Arguments& arguments) { return arguments.positional[0]; }

// ---- text

template <std::string (*kChange)(std::string_view)>
Value change_text(Interpreter& interpreter, Arguments& arguments) {
  return interpreter.text(kChange(subject(arguments).to_string()));
}

// Jinja's own title(): words begin after white space, hyphens and opening brackets.
Value title(Interpreter& interpreter, Arguments& arguments) {
  const std::string text = subject(arguments).to_string();
  const std::vector<size_t> offsets = character_offsets(text);
  std::string out;
  bool start = true;
  for (size_t i = 0; i + 1 < offsets.size(); ++i) {
    const std::string_view c =
        std::string_view(text).substr(offsets[i], offsets[i + 1] - offsets[i]);
    out += start ? to_upper(c) : to_lower(c);
    size_t ignored = 0;
    start = std::string_view("-({[<").find(c) != std::string_view::npos ||
            is_unicode_space(decode_utf8(c, 0, ignored));
  }
  return interpreter.text(std::move(out));
}

Value trim(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "trim", {"chars"});
  const std::string text = subject(arguments).to_string();
  return interpreter.text(std::string(strip(text, args[0].to_string(), true, true)));
}

Value string(Interpreter& interpreter, Arguments& arguments) {
  return interpreter.text(subject(arguments).to_string());
}

Value escape(Interpreter& interpreter, Arguments& arguments) {
  std::string out;
  for (const char c : subject(arguments).to_string()) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return interpreter.text(std::move(out));
}

Value replace(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "replace", {"old", "new", "count"});
  if (args[1].is_undefined()) interpreter.error("replace() takes old and new");
  Arguments call;
  call.positional = {Value(subject(arguments).to_string()), Value(args[0].to_string()),
                     Value(args[1].to_string())};
  if (args[2].is_int()) call.positional.push_back(args[2]);
  return find_method(call.positional[0], "replace")(interpreter, call);
}

Value indent(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "indent", {"width", "first", "blank"});
  const std::string margin =
      args[0].is_string() ? *args[0].as_string()
      : args[0].is_undefined()
          ? std::string(4, ' ')
          : std::string(static_cast<size_t>(std::clamp<int64_t>(args[0].to_int(), 0, 1000)), ' ');
  const std::string text = subject(arguments).to_string();
  std::string out = args[1].truthy() ? margin : "";
  for (size_t i = 0; i < text.size(); ++i) {
    out += text[i];
    if (text[i] != '\n') continue;
    const bool blank_line = i + 1 == text.size() || text[i + 1] == '\n';
    if (!blank_line || args[2].truthy()) out += margin;
  }
  return interpreter.text(std::move(out));
}

Value format(Interpreter& interpreter, Arguments& arguments) {
  std::vector<Value> values(arguments.positional.begin() + 1, arguments.positional.end());
  return percent_format(interpreter, subject(arguments).to_string(),
                        Value(std::move(values), /*tuple=*/true));
}

Value word_count(Interpreter&, Arguments& arguments) {
  const std::string text = subject(arguments).to_string();
  int64_t words = 0;
  bool in_word = false;
  for (size_t pos = 0, length = 0; pos < text.size(); pos += length) {
    const uint32_t code = decode_utf8(text, pos, length);
    const bool part = is_unicode_alpha(code) || is_unicode_digit(code) || code == '_';
    words += part && !in_word;
    in_word = part;
  }
  return Value(words);
}

Value tojson(Interpreter& interpreter, Arguments& arguments) {
  // Hugging Face's tojson: json.dumps without HTML escapes.
  const auto args = bind_arguments(interpreter, arguments, "tojson",
                                   {"indent", "ensure_ascii", "separators", "sort_keys"});
  JsonStyle style;
  if (args[0].is_int())
    style.indent = static_cast<int>(std::clamp<int64_t>(args[0].to_int(), 0, 64));
  style.ensure_ascii = args[1].truthy();
  style.sort_keys = args[3].truthy();
  if (const List* separators = args[2].as_list()) {
    if (separators->items.size() != 2) interpreter.error("tojson: separators must be two strings");
    style.item_separator = separators->items[0].to_string();
    style.key_separator = separators->items[1].to_string();
  }
  return interpreter.text(to_json(subject(arguments), style));
}

// ---- numbers

Value to_integer(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "int", {"default", "base"});
  const Value fallback = args[0].is_undefined() ? Value(int64_t{0}) : args[0];
  const Value& value = subject(arguments);
  if (value.is_float() && !std::isfinite(value.to_double())) return fallback;
  if (value.is_number()) return Value(value.to_int());
  if (!value.is_string()) return fallback;
  const std::string text(strip(*value.as_string(), "", true, true));
  const int base = args[1].is_int() ? static_cast<int>(args[1].to_int()) : 10;
  if (base < 2 || base > 36 || text.empty()) return fallback;
  char* end = nullptr;
  errno = 0;
  const int64_t integer = std::strtoll(text.c_str(), &end, base);
  if (*end == '\0' && errno == 0) return Value(integer);
  const double number = std::strtod(text.c_str(), &end);
  if (*end == '\0' && std::fabs(number) < 9e18) return Value(static_cast<int64_t>(number));
  return fallback;
}

Value to_float(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "float", {"default"});
  const Value& value = subject(arguments);
  if (value.is_number()) return Value(value.to_double());
  if (value.is_string()) {
    const std::string text(strip(*value.as_string(), "", true, true));
    char* end = nullptr;
    const double number = std::strtod(text.c_str(), &end);
    if (!text.empty() && *end == '\0') return Value(number);
  }
  return args[0].is_undefined() ? Value(0.0) : args[0];
}

Value absolute(Interpreter& interpreter, Arguments& arguments) {
  const Value& value = subject(arguments);
  if (value.is_float()) return Value(std::fabs(value.to_double()));
  return value.to_int() < 0 ? binary_operation(interpreter, "-", Value(int64_t{0}), value) : value;
}

Value round(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "round", {"precision", "method"});
  const int precision =
      args[0].is_undefined() ? 0 : static_cast<int>(std::clamp<int64_t>(args[0].to_int(), -18, 18));
  const std::string method = args[1].is_undefined() ? "common" : args[1].to_string();
  const double value = subject(arguments).to_double();
  const bool integer = !subject(arguments).is_float() && method == "common";
  if (integer && precision >= 0) return Value(subject(arguments).to_int());
  const double scale = std::pow(10.0, precision);
  if (method == "ceil") return Value(std::ceil(value * scale) / scale);
  if (method == "floor") return Value(std::floor(value * scale) / scale);
  if (method != "common") interpreter.error("round: method must be common, ceil or floor");
  // Decimal rounding of the exact binary value, as Python's round().
  if (precision >= 0) {
    return Value(std::strtod(fmt::format("{:.{}f}", value, precision).c_str(), nullptr));
  }
  const double rounded = std::nearbyint(value * scale) / scale;
  return integer ? Value(static_cast<int64_t>(rounded)) : Value(rounded);
}

// ---- sequences

Value length(Interpreter& interpreter, Arguments& arguments) {
  const Value& value = subject(arguments);
  if (const std::string* s = value.as_string()) return Value(character_count(*s));
  if (const List* list = value.as_list()) return Value(static_cast<int64_t>(list->items.size()));
  if (const Dict* dict = value.as_dict()) return Value(static_cast<int64_t>(dict->size()));
  if (value.is_undefined()) return Value(int64_t{0});
  interpreter.error(fmt::format("a {} has no length", value.type_name()));
}

Value first(Interpreter& interpreter, Arguments& arguments) {
  const auto items = interpreter.iterate(subject(arguments));
  return items.empty() ? Value::undefined("no first item, sequence was empty") : items.front();
}

Value last(Interpreter& interpreter, Arguments& arguments) {
  const auto items = interpreter.iterate(subject(arguments));
  return items.empty() ? Value::undefined("no last item, sequence was empty") : items.back();
}

Value list(Interpreter& interpreter, Arguments& arguments) {
  return Value(interpreter.iterate(subject(arguments)));
}

Value reverse(Interpreter& interpreter, Arguments& arguments) {
  auto items = interpreter.iterate(subject(arguments));
  std::reverse(items.begin(), items.end());
  if (!subject(arguments).is_string()) return Value(std::move(items));
  std::string out;
  for (const Value& item : items) out += *item.as_string();
  return interpreter.text(std::move(out));
}

Value join(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "join", {"d", "attribute"});
  const std::string separator = args[0].to_string();
  std::string out;
  bool begin = true;
  for (const Value& item : interpreter.iterate(subject(arguments))) {
    if (!begin) out += separator;
    begin = false;
    out += args[1].is_undefined() ? item.to_string()
                                  : interpreter.attribute_path(item, args[1]).to_string();
  }
  return interpreter.text(std::move(out));
}

Value default_value(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "default", {"default_value", "boolean"});
  const Value& value = subject(arguments);
  const bool use = value.is_undefined() || (args[1].truthy() && !value.truthy());
  if (!use) return value;
  return args[0].is_undefined() ? Value(std::string()) : args[0];
}

Value pair(const Value& a, const Value& b) {
  return Value(std::vector<Value>{a, b}, /*tuple=*/true);
}

Value items(Interpreter& interpreter, Arguments& arguments) {
  std::vector<Value> out;
  if (subject(arguments).is_undefined()) return Value(std::move(out));
  const Dict* dict = subject(arguments).as_dict();
  if (dict == nullptr) interpreter.error("items: expected a mapping");
  for (const auto& [key, value] : dict->entries()) out.push_back(pair(key, value));
  interpreter.charge(out.size() * sizeof(Value));
  return Value(std::move(out));
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

std::vector<Value> sorted(Interpreter& interpreter, std::vector<Keyed> keyed, bool descending) {
  interpreter.step(static_cast<int64_t>(keyed.size()));
  std::stable_sort(keyed.begin(), keyed.end(), [descending](const Keyed& a, const Keyed& b) {
    return descending ? compare(b.key, a.key) < 0 : compare(a.key, b.key) < 0;
  });
  std::vector<Value> out;
  for (Keyed& item : keyed) out.push_back(std::move(item.value));
  return out;
}

std::vector<Keyed> keyed_items(Interpreter& interpreter, const Value& source,
                               const Value& attribute, bool case_sensitive) {
  std::vector<Keyed> keyed;
  for (Value& item : interpreter.iterate(source)) {
    const Value key = attribute.is_undefined() || attribute.is_none()
                          ? item
                          : interpreter.attribute_path(item, attribute);
    keyed.push_back({sort_key(key, case_sensitive), std::move(item)});
  }
  return keyed;
}

Value sort(Interpreter& interpreter, Arguments& arguments) {
  const auto args =
      bind_arguments(interpreter, arguments, "sort", {"reverse", "case_sensitive", "attribute"});
  return Value(sorted(interpreter,
                      keyed_items(interpreter, subject(arguments), args[2], args[1].truthy()),
                      args[0].truthy()));
}

Value dictsort(Interpreter& interpreter, Arguments& arguments) {
  const auto args =
      bind_arguments(interpreter, arguments, "dictsort", {"case_sensitive", "by", "reverse"});
  const Dict* dict = subject(arguments).as_dict();
  if (dict == nullptr) interpreter.error("dictsort: expected a mapping");
  const bool by_value = !args[1].is_undefined() && args[1].to_string() == "value";
  std::vector<Keyed> keyed;
  for (const auto& [key, value] : dict->entries()) {
    keyed.push_back({sort_key(by_value ? value : key, args[0].truthy()), pair(key, value)});
  }
  return Value(sorted(interpreter, std::move(keyed), args[2].truthy()));
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
  return Value(std::move(out));
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
    interpreter.charge(static_cast<size_t>(size) * sizeof(Value));
    while (!args[1].is_undefined() && static_cast<int64_t>(line.size()) < size) {
      line.push_back(args[1]);
    }
    out.emplace_back(std::move(line));
  }
  return Value(std::move(out));
}

Value attr(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "attr", {"name"});
  return interpreter.attribute(subject(arguments), args[0].to_string());
}

Value map(Interpreter& interpreter, Arguments& arguments) {
  std::vector<Value> out;
  const auto source = interpreter.iterate(subject(arguments));
  if (arguments.positional.size() == 1) {
    const auto args = bind_arguments(interpreter, arguments, "map", {"attribute", "default"});
    for (const Value& item : source) {
      Value value = interpreter.attribute_path(item, args[0]);
      out.push_back(value.is_undefined() && !args[1].is_undefined() ? args[1] : std::move(value));
    }
    return Value(std::move(out));
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
  return Value(std::move(out));
}

// select, reject (kAttribute: selectattr, rejectattr): items (or an attribute of theirs) that pass
// a test.
template <bool kKeep, bool kAttribute>
Value select(Interpreter& interpreter, Arguments& arguments) {
  auto& args = arguments.positional;
  const size_t skip = kAttribute ? 2 : 1;
  if (args.size() < skip) interpreter.error("selectattr/rejectattr need an attribute");
  std::vector<Value> out;
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
  return Value(std::move(out));
}

Value safe(Interpreter&, Arguments& arguments) { return subject(arguments); }

struct Row {
  std::string_view name;
  Builtin function;
};
constexpr std::array<Row, 41> kFilters = {{
    {"abs", absolute},
    {"attr", attr},
    {"batch", batch},
    {"capitalize", change_text<to_capitalized>},
    {"count", length},
    {"d", default_value},
    {"default", default_value},
    {"dictsort", dictsort},
    {"e", escape},
    {"escape", escape},
    {"first", first},
    {"float", to_float},
    {"format", format},
    {"indent", indent},
    {"int", to_integer},
    {"items", items},
    {"join", join},
    {"last", last},
    {"length", length},
    {"list", list},
    {"lower", change_text<to_lower>},
    {"map", map},
    {"max", extreme<1>},
    {"min", extreme<-1>},
    {"reject", select<false, false>},
    {"rejectattr", select<false, true>},
    {"replace", replace},
    {"reverse", reverse},
    {"round", round},
    {"safe", safe},
    {"select", select<true, false>},
    {"selectattr", select<true, true>},
    {"sort", sort},
    {"string", string},
    {"sum", sum},
    {"title", title},
    {"tojson", tojson},
    {"trim", trim},
    {"unique", unique},
    {"upper", change_text<to_upper>},
    {"wordcount", word_count},
}};

}  // namespace

Builtin find_filter(std::string_view name) {
  for (const Row& row : kFilters) {
    if (row.name == name) return row.function;
  }
  return nullptr;
}

}  // namespace tq::jinja
