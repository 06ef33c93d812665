// Values as text: Python's str() and repr(), and JSON.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "text/jinja/unicode.h"
#include "text/jinja/value.h"

namespace tq::jinja {
namespace {

// repr() may pass through namespaces, which values of limited depth can hold without end.
constexpr int kMaxReprDepth = 2 * kMaxValueDepth;

class ReprWriter {
 public:
  explicit ReprWriter(TextBuilder& out) : out_(out) {}

  void write(const Value& value) {
    charge_steps(1);
    if (++depth_ > kMaxReprDepth) {
      fail(ErrorCode::kUnsupported, "chat template: printing values nested deeper than {}",
           kMaxReprDepth);
    }
    write_one(value);
    --depth_;
  }

 private:
  void write_one(const Value& value) {
    if (value.is_undefined()) {
      out_ += "Undefined";
    } else if (value.is_none()) {
      out_ += "None";
    } else if (value.is_bool()) {
      out_ += value.to_int() != 0 ? "True" : "False";
    } else if (value.is_int()) {
      out_ += std::to_string(value.to_int());
    } else if (value.is_float()) {
      out_ += float_repr(value.to_double());
    } else if (const std::string* s = value.as_string()) {
      write_string(*s);
    } else if (const List* list = value.as_list()) {
      write_list(*list);
    } else if (const Dict* dict = value.as_dict()) {
      write_dict(*dict);
    } else if (const Callable* callable = value.as_callable()) {
      (((out_ += "<function ") += callable->name) += ">");
    } else if (const auto loop = value.as_loop()) {
      out_ += fmt::format("<LoopContext {}/{}>", loop->index + 1, loop->items.size());
    } else {
      write_namespace(*value.as_namespace());
    }
  }

  void write_string(const std::string& s) {
    charge_characters(s.size());
    const bool double_quotes =
        s.find('\'') != std::string::npos && s.find('"') == std::string::npos;
    const char quote = double_quotes ? '"' : '\'';
    out_ += quote;
    for (const char c : s) {
      if (c == quote || c == '\\') {
        (out_ += '\\') += c;
      } else if (c == '\n') {
        out_ += "\\n";
      } else if (c == '\r') {
        out_ += "\\r";
      } else if (c == '\t') {
        out_ += "\\t";
      } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
        out_ += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
      } else {
        out_ += c;
      }
    }
    out_ += quote;
  }

  void write_list(const List& list) {
    static constexpr std::string_view kOpen[] = {"[", "(", "<generator object ", "dict_view([",
                                                 "range("};
    static constexpr std::string_view kClose[] = {"]", ")", ">", "])", ")"};
    out_ += kOpen[static_cast<size_t>(list.kind)];
    if (list.kind == ListKind::kRange) {
      write_range(list);
    } else if (list.kind != ListKind::kIterator) {
      for (size_t i = 0; i < list.items.size(); ++i) {
        if (i > 0) out_ += ", ";
        write(list.items[i]);
      }
      if (list.is_tuple() && list.items.size() == 1) out_ += ",";
    }
    out_ += kClose[static_cast<size_t>(list.kind)];
  }

  // Only the items are kept: what they were made of is seen from them.
  void write_range(const List& list) {
    if (list.items.empty()) {
      out_ += "0, 0";
      return;
    }
    const int64_t first = list.items.front().to_int();
    const int64_t step = list.items.size() > 1 ? list.items[1].to_int() - first : 1;
    out_ += fmt::format("{}, {}", first, list.items.back().to_int() + step);
    if (step != 1) out_ += fmt::format(", {}", step);
  }

  void write_dict(const Dict& dict) {
    out_ += '{';
    bool first = true;
    for (const auto& [key, value] : dict.entries()) {
      if (!first) out_ += ", ";
      first = false;
      write(key);
      out_ += ": ";
      write(value);
    }
    out_ += '}';
  }

  void write_namespace(const Namespace& ns) {
    out_ += "<Namespace ";
    if (std::find(open_.begin(), open_.end(), &ns) != open_.end()) {
      out_ += "{...}";
    } else {
      open_.push_back(&ns);
      write_dict(ns.attributes);
      open_.pop_back();
    }
    out_ += '>';
  }

  TextBuilder& out_;
  int depth_ = 0;
  std::vector<const Namespace*> open_;  // those that are being written
};

// json.dumps of a value.
class JsonWriter {
 public:
  explicit JsonWriter(const JsonStyle& style) : style_(style) {}

  void write(const Value& value, int depth) {
    charge_steps(1);
    if (value.is_none()) {
      out += "null";
    } else if (value.is_bool()) {
      out += value.truthy() ? "true" : "false";
    } else if (value.is_int()) {
      out += std::to_string(value.to_int());
    } else if (value.is_float()) {
      out += number(value.to_double());
    } else if (const std::string* s = value.as_string()) {
      write_string(*s);
    } else if (const List* list = value.as_list();
               list != nullptr && (list->kind == ListKind::kList || list->is_tuple())) {
      write_list(*list, depth);
    } else if (const Dict* dict = value.as_dict()) {
      write_dict(*dict, depth);
    } else {
      fail(ErrorCode::kInvalidArgument, "chat template: tojson cannot write a value of type {}",
           value.type_name());
    }
  }

  TextBuilder out;

 private:
  static std::string number(double d) {
    if (std::isnan(d)) return "NaN";
    if (std::isinf(d)) return d > 0 ? "Infinity" : "-Infinity";
    return float_repr(d);
  }

  void newline(int depth) {
    if (!style_.multiline) return;
    out += '\n';
    for (int i = 0; i < depth; ++i) out += style_.indent;
  }

  void write_escape(uint32_t unit) { out += fmt::format("\\u{:04x}", unit); }

  void write_code(uint32_t code, std::string_view bytes) {
    static constexpr std::string_view kPlain = "\"\\\b\f\n\r\t";
    static constexpr std::string_view kEscaped = "\"\\bfnrt";
    const size_t found =
        code < 0x80 ? kPlain.find(static_cast<char>(code)) : std::string_view::npos;
    if (found != std::string_view::npos) {
      (out += '\\') += kEscaped[found];
    } else if (code < 0x20) {
      write_escape(code);
    } else if (code < 0x80 || !style_.ensure_ascii) {
      out += bytes;
    } else if (code < 0x10000) {
      write_escape(code);
    } else {  // a surrogate pair
      write_escape(0xd800 + ((code - 0x10000) >> 10));
      write_escape(0xdc00 + ((code - 0x10000) & 0x3ff));
    }
  }

  // Invalid bytes become U+FFFD.
  void write_string(const std::string& s) {
    charge_characters(s.size());
    out += '"';
    for (size_t pos = 0, length = 0; pos < s.size(); pos += length) {
      const uint32_t code = decode_utf8(s, pos, length);
      const bool invalid = length == 1 && code == 0xfffd;
      write_code(code, invalid ? "\xef\xbf\xbd" : std::string_view(s).substr(pos, length));
    }
    out += '"';
  }

  void write_list(const List& list, int depth) {
    if (list.items.empty()) {
      out += "[]";
      return;
    }
    out += '[';
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) out += style_.item_separator;
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
    charge_steps(dict.size());
    require_bytes(dict.size() * 2 * sizeof(void*));
    std::vector<const std::pair<Value, Value>*> entries;
    for (const auto& entry : dict.entries()) entries.push_back(&entry);
    if (style_.sort_keys) {
      std::stable_sort(entries.begin(), entries.end(), [](const auto* a, const auto* b) {
        return compare(a->first, b->first) < 0;
      });
    }
    out += '{';
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out += style_.item_separator;
      newline(depth + 1);
      write_key(entries[i]->first);
      out += style_.key_separator;
      write(entries[i]->second, depth + 1);
    }
    newline(depth);
    out += '}';
  }

  void write_key(const Value& key) {
    if (const std::string* s = key.as_string()) return write_string(*s);
    if (!key.is_number() && !key.is_none()) {
      fail(ErrorCode::kInvalidArgument, "chat template: tojson cannot write a key of type {}",
           key.type_name());
    }
    out += '"';
    write(key, 0);
    out += '"';
  }

  const JsonStyle& style_;
};

}  // namespace

std::string escape_html(std::string_view text) {
  charge_characters(text.size());
  TextBuilder out;
  for (const char c : text) {
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
  return out.take();
}

void Value::write_to(TextBuilder& out) const {
  if (is_undefined()) return;
  if (const std::string* s = as_string()) {
    out += *s;
  } else {
    ReprWriter(out).write(*this);
  }
}

std::string Value::to_string() const {
  if (const std::string* s = as_string()) {
    require_bytes(s->size());
    charge_scan(s->size());
    return *s;
  }
  TextBuilder out;
  write_to(out);
  return out.take();
}

std::string Value::repr() const {
  TextBuilder out;
  ReprWriter(out).write(*this);
  return out.take();
}

std::string Value::short_repr() const {
  constexpr size_t kLongest = 60;
  if (const std::string* s = as_string()) {
    return s->size() > kLongest ? fmt::format("'{}...'", s->substr(0, kLongest)) : repr();
  }
  return is_number() || is_none() ? repr() : fmt::format("a {}", type_name());
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

std::string to_json(const Value& value, const JsonStyle& style) {
  JsonWriter writer(style);
  writer.write(value, 0);
  return writer.out.take();
}

}  // namespace tq::jinja
