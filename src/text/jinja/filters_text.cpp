// Filters of texts and numbers, and tojson.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>

#include "text/jinja/filters.h"
#include "text/jinja/unicode.h"

namespace tq::jinja {
namespace {

template <std::string (*kChange)(std::string_view)>
Value change_text(Interpreter&, Arguments& arguments) {
  return Value(kChange(subject(arguments).to_string()));
}

// Jinja's own title(): words begin after white space, hyphens and opening brackets.
Value title(Interpreter&, Arguments& arguments) {
  const std::string text = subject(arguments).to_string();
  charge_characters(4 * text.size());
  TextBuilder out;
  bool start = true;
  for (size_t pos = 0, length = 0; pos < text.size(); pos += length) {
    const uint32_t code = decode_utf8(text, pos, length);
    const std::string_view c = std::string_view(text).substr(pos, length);
    out += start ? to_upper(c) : to_lower(c);
    start = std::string_view("-({[<").find(c) != std::string_view::npos || is_unicode_space(code);
  }
  return Value(out.take());
}

Value trim(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "trim", {"chars"});
  const std::string text = subject(arguments).to_string();
  const bool white_space = args[0].is_undefined() || args[0].is_none();
  const std::string chars = white_space ? "" : args[0].to_string();
  if (!white_space && chars.empty()) return Value(text);
  return Value(strip(text, chars, true, true));
}

Value string(Interpreter&, Arguments& arguments) {
  if (subject(arguments).is_string()) return subject(arguments);
  return Value(subject(arguments).to_string());
}

Value escape(Interpreter&, Arguments& arguments) {
  const Value& value = subject(arguments);
  return value.is_markup() ? value : Value::markup(escape_html(value.to_string()));
}

Value force_escape(Interpreter&, Arguments& arguments) {
  return Value::markup(escape_html(subject(arguments).to_string()));
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
  if (!subject(arguments).is_string()) {
    interpreter.error(fmt::format("indent: a {} is no text", subject(arguments).type_name()));
  }
  constexpr int64_t kWidest = 1 << 20;
  const std::string margin =
      args[0].is_string() ? args[0].to_string()
      : args[0].is_undefined()
          ? std::string(4, ' ')
          : std::string(static_cast<size_t>(std::clamp<int64_t>(args[0].to_int(), 0, kWidest)),
                        ' ');
  const bool blank = args[2].truthy();
  TextBuilder out;
  bool first = true;
  const std::string text = subject(arguments).to_string() + "\n";
  for (const std::string_view line : split_lines(text, false)) {
    if (!first) out += '\n';
    const bool indented = first ? args[1].truthy() : blank || !line.empty();
    if (indented) out += margin;
    out += line;
    first = false;
  }
  return Value(out.take());
}

Value format(Interpreter& interpreter, Arguments& arguments) {
  std::vector<Value> values(arguments.positional.begin() + 1, arguments.positional.end());
  return percent_format(interpreter, subject(arguments).to_string(),
                        Value(std::move(values), ListKind::kTuple));
}

Value word_count(Interpreter&, Arguments& arguments) {
  const std::string text = subject(arguments).to_string();
  charge_characters(text.size());
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

Value center(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "center", {"width"});
  Arguments call;
  call.positional = {Value(subject(arguments).to_string()),
                     args[0].is_undefined() ? Value(int64_t{80}) : args[0]};
  return find_method(call.positional[0], "center")(interpreter, call);
}

Value tojson(Interpreter& interpreter, Arguments& arguments) {
  // Hugging Face's tojson: json.dumps without HTML escapes.
  const auto args = bind_arguments(interpreter, arguments, "tojson",
                                   {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = args[0].truthy();
  if (!args[1].is_undefined() && !args[1].is_none()) {
    constexpr int64_t kWidest = 64;
    style.multiline = true;
    style.item_separator = ",";
    style.indent =
        args[1].is_string()
            ? args[1].to_string()
            : std::string(static_cast<size_t>(std::clamp<int64_t>(args[1].to_int(), 0, kWidest)),
                          ' ');
  }
  style.sort_keys = args[3].truthy();
  if (const List* separators = args[2].as_list()) {
    if (separators->items.size() != 2) interpreter.error("tojson: separators must be two strings");
    style.item_separator = separators->items[0].to_string();
    style.key_separator = separators->items[1].to_string();
  }
  return Value(to_json(subject(arguments), style));
}

// ---- numbers

void refuse_undefined(Interpreter& interpreter, const Value& value) {
  if (value.is_undefined()) interpreter.error(value.why_undefined());
}

// Python's number syntax: digits may be grouped by single underscores.
std::string number_text(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto digit = [&](size_t at) {
      return at < text.size() && std::isalnum(static_cast<unsigned char>(text[at])) != 0;
    };
    const bool group = text[i] == '_' && i > 0 && digit(i - 1) && digit(i + 1);
    if (!group) out += text[i];
  }
  return out;
}

Value to_integer(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "int", {"default", "base"});
  const Value fallback = args[0].is_undefined() ? Value(int64_t{0}) : args[0];
  const Value& value = subject(arguments);
  refuse_undefined(interpreter, value);
  if (value.is_float() && !std::isfinite(value.to_double())) return fallback;
  if (value.is_number()) return Value(value.to_int());
  if (!value.is_string()) return fallback;
  charge_characters(value.as_string()->size());
  constexpr size_t kLongest = 400;  // more digits than any number has
  const std::string_view stripped = strip(*value.as_string(), "", true, true);
  if (stripped.size() > kLongest) return fallback;
  const std::string text = number_text(std::string(stripped));
  const int64_t base = args[1].is_int() ? args[1].to_int() : 10;
  if (base < 2 || base > 36 || text.empty()) return fallback;
  char* end = nullptr;
  errno = 0;
  const int64_t integer = std::strtoll(text.c_str(), &end, static_cast<int>(base));
  if (*end == '\0' && errno == 0) return Value(integer);
  const double number = std::strtod(text.c_str(), &end);
  const bool hex = text.find_first_of("xX") != std::string::npos;  // which Python does not take
  if (*end == '\0' && !hex && std::fabs(number) < 9e18) return Value(static_cast<int64_t>(number));
  return fallback;
}

Value to_float(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "float", {"default"});
  const Value& value = subject(arguments);
  refuse_undefined(interpreter, value);
  if (value.is_number()) return Value(value.to_double());
  if (value.is_string()) {
    charge_characters(value.as_string()->size());
    const std::string text = number_text(std::string(strip(*value.as_string(), "", true, true)));
    char* end = nullptr;
    const double number = std::strtod(text.c_str(), &end);
    const bool hex = text.find_first_of("xX") != std::string::npos;
    if (!text.empty() && *end == '\0' && !hex) return Value(number);
  }
  return args[0].is_undefined() ? Value(0.0) : args[0];
}

Value absolute(Interpreter& interpreter, Arguments& arguments) {
  const Value& value = subject(arguments);
  if (value.is_float()) return Value(std::fabs(value.to_double()));
  return value.to_int() < 0 ? binary_operation(interpreter, "-", Value(int64_t{0}), value)
                            : Value(value.to_int());
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

Value safe(Interpreter&, Arguments& arguments) {
  return Value::markup(subject(arguments).to_string());
}

constexpr BuiltinRow kTextFilters[] = {
    {"abs", absolute},
    {"capitalize", change_text<to_capitalized>},
    {"center", center},
    {"e", escape},
    {"escape", escape},
    {"float", to_float},
    {"forceescape", force_escape},
    {"format", format},
    {"indent", indent},
    {"int", to_integer},
    {"lower", change_text<to_lower>},
    {"replace", replace},
    {"round", round},
    {"safe", safe},
    {"string", string},
    {"title", title},
    {"tojson", tojson},
    {"trim", trim},
    {"upper", change_text<to_upper>},
    {"wordcount", word_count},
};

}  // namespace

std::span<const BuiltinRow> text_filters() { return kTextFilters; }

}  // namespace tq::jinja
