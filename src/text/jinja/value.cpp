#include "text/jinja/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace tq::jinja {
namespace {

// Equal keys give equal strings: 1, 1.0 and True are one key in Python.
std::string key_text(const Value& key) {
  if (const std::string* s = key.as_string()) return "s" + *s;
  if (key.is_none()) return "n";
  if (key.is_float() && key.to_double() != std::floor(key.to_double())) {
    return "f" + float_repr(key.to_double());
  }
  if (key.is_number()) return "i" + std::to_string(key.to_int());
  if (const List* list = key.as_list(); list != nullptr && list->tuple) return "t" + key.repr();
  fail(ErrorCode::kInvalidArgument, "chat template: unhashable dict key of type {}",
       key.type_name());
}

std::string string_repr(const std::string& s) {
  const bool double_quotes = s.find('\'') != std::string::npos && s.find('"') == std::string::npos;
  const char quote = double_quotes ? '"' : '\'';
  std::string out(1, quote);
  for (const char c : s) {
    if (c == quote || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out + quote;
}

std::string dict_repr(const Dict& dict) {
  std::string out = "{";
  for (const auto& [key, value] : dict.entries()) {
    if (out.size() > 1) out += ", ";
    out += key.repr() + ": " + value.repr();
  }
  return out + "}";
}

std::string list_repr(const List& list) {
  std::string out = list.tuple ? "(" : "[";
  for (size_t i = 0; i < list.items.size(); ++i) {
    if (i > 0) out += ", ";
    out += list.items[i].repr();
  }
  if (list.tuple && list.items.size() == 1) out += ",";
  return out + (list.tuple ? ")" : "]");
}

}  // namespace

const Value* Dict::find(const Value& key) const {
  const auto it = index_.find(key_text(key));
  return it == index_.end() ? nullptr : &entries_[it->second].second;
}

void Dict::set(Value key, Value value) {
  const auto [it, added] = index_.try_emplace(key_text(key), entries_.size());
  if (added) {
    entries_.emplace_back(std::move(key), std::move(value));
  } else {
    entries_[it->second].second = std::move(value);
  }
}

void Dict::clear() {
  entries_.clear();
  index_.clear();
}

Value::Value(std::vector<Value> items, bool tuple)
    : v_(std::make_shared<const List>(List{std::move(items), tuple})) {}
Value::Value(Dict dict) : v_(std::make_shared<const Dict>(std::move(dict))) {}
Value::Value(Callable callable) : v_(std::make_shared<const Callable>(std::move(callable))) {}

Value Value::undefined(std::string what) {
  Value value;
  value.v_ = Undefined{std::move(what)};
  return value;
}

Value Value::from_json(const Json& json) {
  switch (json.type()) {
    case Json::value_t::boolean:
      return Value(json.get<bool>());
    case Json::value_t::number_integer:
      return Value(json.get<int64_t>());
    case Json::value_t::number_unsigned: {
      const auto number = json.get<uint64_t>();
      if (number > static_cast<uint64_t>(INT64_MAX)) return Value(static_cast<double>(number));
      return Value(static_cast<int64_t>(number));
    }
    case Json::value_t::number_float:
      return Value(json.get<double>());
    case Json::value_t::string:
      return Value(json.get<std::string>());
    case Json::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const Json& item : json) items.push_back(from_json(item));
      return Value(std::move(items));
    }
    case Json::value_t::object: {
      Dict dict;
      for (const auto& [key, item] : json.items())
        dict.set(Value(std::string(key)), from_json(item));
      return Value(std::move(dict));
    }
    default:
      return Value(nullptr);
  }
}

const std::string* Value::as_string() const {
  const auto* p = std::get_if<std::shared_ptr<const std::string>>(&v_);
  return p == nullptr ? nullptr : p->get();
}
const List* Value::as_list() const {
  const auto* p = std::get_if<std::shared_ptr<const List>>(&v_);
  return p == nullptr ? nullptr : p->get();
}
const Dict* Value::as_dict() const {
  const auto* p = std::get_if<std::shared_ptr<const Dict>>(&v_);
  return p == nullptr ? nullptr : p->get();
}
const Callable* Value::as_callable() const {
  const auto* p = std::get_if<std::shared_ptr<const Callable>>(&v_);
  return p == nullptr ? nullptr : p->get();
}
Namespace* Value::as_namespace() const {
  const auto* p = std::get_if<std::shared_ptr<Namespace>>(&v_);
  return p == nullptr ? nullptr : p->get();
}

int64_t Value::to_int() const {
  if (const bool* b = std::get_if<bool>(&v_)) return *b ? 1 : 0;
  if (const double* d = std::get_if<double>(&v_)) {
    if (!(std::fabs(*d) < 9.2e18)) {
      fail(ErrorCode::kInvalidArgument, "chat template: {} is no integer", float_repr(*d));
    }
    return static_cast<int64_t>(*d);
  }
  const int64_t* i = std::get_if<int64_t>(&v_);
  if (i == nullptr) {
    fail(ErrorCode::kInvalidArgument, "chat template: expected a number, not {}", type_name());
  }
  return *i;
}

double Value::to_double() const {
  if (const double* d = std::get_if<double>(&v_)) return *d;
  return static_cast<double>(to_int());
}

bool Value::truthy() const {
  if (is_undefined() || is_none()) return false;
  if (is_float()) return to_double() != 0;
  if (is_number()) return to_int() != 0;
  if (const std::string* s = as_string()) return !s->empty();
  if (const List* list = as_list()) return !list->items.empty();
  if (const Dict* dict = as_dict()) return dict->size() > 0;
  return true;
}

std::string_view Value::type_name() const {
  static constexpr std::string_view kNames[] = {"Undefined", "NoneType", "bool", "int",
                                                "float",     "str",      "list", "dict",
                                                "function",  "namespace"};
  if (const List* list = as_list(); list != nullptr && list->tuple) return "tuple";
  return kNames[v_.index()];
}

std::string Value::to_string() const {
  if (is_undefined()) return "";
  if (const std::string* s = as_string()) return *s;
  return repr();
}

std::string Value::repr() const {
  if (is_undefined()) return "Undefined";
  if (is_none()) return "None";
  if (is_bool()) return to_int() != 0 ? "True" : "False";
  if (is_int()) return std::to_string(to_int());
  if (is_float()) return float_repr(to_double());
  if (const std::string* s = as_string()) return string_repr(*s);
  if (const List* list = as_list()) return list_repr(*list);
  if (const Dict* dict = as_dict()) return dict_repr(*dict);
  if (const Callable* callable = as_callable()) return "<function " + callable->name + ">";
  return "<Namespace " + dict_repr(as_namespace()->attributes) + ">";
}

bool equal(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    if (a.is_float() || b.is_float()) return a.to_double() == b.to_double();
    return a.to_int() == b.to_int();
  }
  if (a.variant().index() != b.variant().index()) return false;
  if (a.is_undefined() || a.is_none()) return true;
  if (const std::string* s = a.as_string()) return *s == *b.as_string();
  if (const List* list = a.as_list()) {
    return list->tuple == b.as_list()->tuple &&
           std::equal(list->items.begin(), list->items.end(), b.as_list()->items.begin(),
                      b.as_list()->items.end(), equal);
  }
  if (const Dict* dict = a.as_dict()) {
    if (dict->size() != b.as_dict()->size()) return false;
    return std::all_of(dict->entries().begin(), dict->entries().end(), [&](const auto& entry) {
      const Value* other = b.as_dict()->find(entry.first);
      return other != nullptr && equal(entry.second, *other);
    });
  }
  if (a.as_callable() != nullptr) return a.as_callable() == b.as_callable();
  return a.as_namespace() == b.as_namespace();
}

int compare(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    if (!a.is_float() && !b.is_float()) {
      return a.to_int() < b.to_int() ? -1 : a.to_int() > b.to_int();
    }
    return a.to_double() < b.to_double() ? -1 : a.to_double() > b.to_double();
  }
  // UTF-8 byte order is code point order.
  if (a.is_string() && b.is_string()) return a.as_string()->compare(*b.as_string());
  if (a.as_list() != nullptr && b.as_list() != nullptr) {
    const auto& left = a.as_list()->items;
    const auto& right = b.as_list()->items;
    for (size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
      if (!equal(left[i], right[i])) return compare(left[i], right[i]);
    }
    return left.size() < right.size() ? -1 : left.size() > right.size();
  }
  fail(ErrorCode::kInvalidArgument, "chat template: cannot order {} and {}", a.type_name(),
       b.type_name());
}

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::string digits = fmt::format("{}", value);  // the shortest that read back equal
  const double magnitude = std::fabs(value);
  if (magnitude != 0 && (magnitude >= 1e16 || magnitude < 1e-4)) {
    return digits.find('e') != std::string::npos ? digits : fmt::format("{:e}", value);
  }
  if (digits.find('e') != std::string::npos) digits = fmt::format("{:f}", value);
  if (digits.find('.') == std::string::npos) digits += ".0";
  return digits;
}

namespace {

void write_json_string(const std::string& s, bool ensure_ascii, std::string& out) {
  const Json json = s;
  // Invalid UTF-8 becomes U+FFFD rather than an exception.
  out += json.dump(-1, ' ', ensure_ascii, Json::error_handler_t::replace);
}

struct JsonWriter {
  const JsonStyle& style;
  std::string out;

  void newline(int depth) {
    if (style.indent < 0) return;
    out += '\n';
    out.append(static_cast<size_t>(depth) * static_cast<size_t>(style.indent), ' ');
  }
  // With an indent Python ends items with "," and no space.
  std::string_view separator() const {
    return style.indent >= 0 && style.item_separator == ", "
               ? ","
               : std::string_view(style.item_separator);
  }

  void write_list(const List& list, int depth) {
    if (list.items.empty()) {
      out += "[]";
      return;
    }
    out += '[';
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) out += separator();
      newline(depth + 1);
      write(list.items[i], depth + 1);
    }
    newline(depth);
    out += ']';
  }

  void write_dict(const Dict& dict, int depth) {
    if (dict.size() == 0) {
      out += "{}";
      return;
    }
    std::vector<const std::pair<Value, Value>*> entries;
    for (const auto& entry : dict.entries()) entries.push_back(&entry);
    if (style.sort_keys) {
      std::stable_sort(entries.begin(), entries.end(), [](const auto* a, const auto* b) {
        return compare(a->first, b->first) < 0;
      });
    }
    out += '{';
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out += separator();
      newline(depth + 1);
      write_json_string(key_string(entries[i]->first), style.ensure_ascii, out);
      out += style.key_separator;
      write(entries[i]->second, depth + 1);
    }
    newline(depth);
    out += '}';
  }

  static std::string key_string(const Value& key) {
    if (key.is_bool()) return key.truthy() ? "true" : "false";
    if (key.is_none()) return "null";
    return key.to_string();
  }

  void write(const Value& value, int depth) {
    if (value.is_none()) {
      out += "null";
    } else if (value.is_bool()) {
      out += value.truthy() ? "true" : "false";
    } else if (value.is_int()) {
      out += std::to_string(value.to_int());
    } else if (value.is_float()) {
      const double d = value.to_double();
      out += std::isnan(d)   ? "NaN"
             : std::isinf(d) ? (d > 0 ? "Infinity" : "-Infinity")
                             : float_repr(d);
    } else if (const std::string* s = value.as_string()) {
      write_json_string(*s, style.ensure_ascii, out);
    } else if (const List* list = value.as_list()) {
      write_list(*list, depth);
    } else if (const Dict* dict = value.as_dict()) {
      write_dict(*dict, depth);
    } else {
      fail(ErrorCode::kInvalidArgument, "chat template: tojson cannot write a value of type {}",
           value.type_name());
    }
  }
};

}  // namespace

std::string to_json(const Value& value, const JsonStyle& style) {
  JsonWriter writer{style, {}};
  writer.write(value, 0);
  return std::move(writer.out);
}

}  // namespace tq::jinja
