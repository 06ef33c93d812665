// Python's two ways to format: "%s is %d" % (a, b), and "{} is {:>5}".format(a, b).
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/unicode.h"

namespace tq::jinja {
namespace {

constexpr int64_t kWidest = 1'000'000;

// What may stand between % or : and the letter of the type.
struct Spec {
  std::string fill = " ";
  char align = 0;  // '<', '>', '^', '='; 0: as the type has it
  char sign = '-';
  bool alternate = false;
  bool commas = false;
  int64_t width = 0;
  int64_t precision = -1;
  char type = 0;
};

// Digits at pos as a number; -1 where there are none.
int64_t read_number(Interpreter& interpreter, std::string_view text, size_t& pos) {
  int64_t number = -1;
  const auto [end, error] = std::from_chars(text.data() + pos, text.data() + text.size(), number);
  if (end != text.data() + pos && (error != std::errc() || number > kWidest)) {
    interpreter.error("a format's width or precision is too large");
  }
  pos = static_cast<size_t>(end - text.data());
  return number;
}

bool is_integer_type(char type) {
  return type != 0 && std::string_view("diuxXob").find(type) != std::string_view::npos;
}
bool is_float_type(char type) {
  return type != 0 && std::string_view("feEgGF%").find(type) != std::string_view::npos;
}

// The digits of a number, without its sign.
std::string digits_of(Interpreter& interpreter, const Value& value, const Spec& spec,
                      bool& negative) {
  if (!value.is_number()) {
    interpreter.error(
        fmt::format("%{} format: a number is required, not {}", spec.type, value.type_name()));
  }
  if (is_float_type(spec.type)) {
    const double number = value.to_double() * (spec.type == '%' ? 100 : 1);
    negative = number < 0;
    const int precision =
        static_cast<int>(std::min<int64_t>(spec.precision < 0 ? 6 : spec.precision, 400));
    const char type = spec.type == '%' ? 'f' : spec.type;
    const std::string format = fmt::format("{{:.{}{}}}", precision, type);
    return fmt::format(fmt::runtime(format), negative ? -number : number) +
           (spec.type == '%' ? "%" : "");
  }
  const int64_t number = value.to_int();
  negative = number < 0;
  const uint64_t magnitude =
      negative ? -static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
  switch (spec.type) {
    case 'x':
      return (spec.alternate ? "0x" : "") + fmt::format("{:x}", magnitude);
    case 'X':
      return (spec.alternate ? "0X" : "") + fmt::format("{:X}", magnitude);
    case 'o':
      return (spec.alternate ? "0o" : "") + fmt::format("{:o}", magnitude);
    case 'b':
      return (spec.alternate ? "0b" : "") + fmt::format("{:b}", magnitude);
    default:
      return std::to_string(magnitude);
  }
}

std::string with_commas(std::string digits) {
  const size_t end = std::min(digits.find_first_not_of("0123456789"), digits.size());
  for (size_t at = end; at > 3; at -= 3) digits.insert(at - 3, ",");
  return digits;
}

// Writes sign and body into the width.
void pad(const std::string& sign, const std::string& body, const Spec& spec, char align,
         TextBuilder& out) {
  charge_characters(body.size());
  const int64_t missing =
      std::max<int64_t>(spec.width - static_cast<int64_t>(sign.size()) - character_count(body), 0);
  const int64_t left = align == '<' || align == '=' ? 0 : align == '^' ? missing / 2 : missing;
  const auto fill = [&](int64_t n) {
    charge_steps(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i) out += spec.fill;
  };
  fill(left);
  out += sign;
  if (align == '=') fill(missing);
  out += body;
  if (align != '=') fill(missing - left);
}

void write_number(Interpreter& interpreter, const Value& value, const Spec& spec,
                  TextBuilder& out) {
  bool negative = false;
  std::string digits = digits_of(interpreter, value, spec, negative);
  if (spec.commas) digits = with_commas(std::move(digits));
  const std::string sign = negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
  pad(sign, digits, spec, spec.align == 0 ? '>' : spec.align, out);
}

void write_text(std::string text, const Spec& spec, char default_align, TextBuilder& out) {
  if (spec.precision >= 0) {
    charge_characters(text.size());
    text.resize(character_offset(text, 0, spec.precision));
  }
  pad("", text, spec, spec.align == 0 ? default_align : spec.align, out);
}

// ---- "%s" % values

class PercentFormat {
 public:
  PercentFormat(Interpreter& interpreter, const Value& arguments) : interpreter_(interpreter) {
    const List* list = arguments.as_list();
    const bool tuple = list != nullptr && list->is_tuple();
    values_ = tuple ? list->items : std::vector<Value>{arguments};
    mapping_ = arguments.as_dict();
  }

  Value run(std::string_view format) {
    charge_characters(format.size());
    TextBuilder out;
    for (size_t pos = 0; pos < format.size();) {
      const size_t percent = std::min(format.find('%', pos), format.size());
      out += format.substr(pos, percent - pos);
      pos = percent;
      if (pos < format.size()) conversion(format, ++pos, out);
    }
    if (mapping_ == nullptr && used_ != values_.size()) {
      interpreter_.error("not all arguments converted in string formatting");
    }
    return Value(out.take());
  }

 private:
  const Value& next() {
    if (used_ == values_.size()) interpreter_.error("not enough arguments for format string");
    return values_[used_++];
  }

  // "(name)" of a mapping's entry, or the next value.
  const Value& operand(std::string_view format, size_t& pos) {
    if (format.substr(pos, 1) != "(") return next();
    const size_t end = format.find(')', pos);
    if (mapping_ == nullptr || end == std::string_view::npos) {
      interpreter_.error("format requires a mapping");
    }
    const Value* value = mapping_->find(format.substr(pos + 1, end - pos - 1));
    if (value == nullptr) interpreter_.error("format: the mapping has no such key");
    pos = end + 1;
    return *value;
  }

  void conversion(std::string_view format, size_t& pos, TextBuilder& out) {
    if (format.substr(pos, 1) == "%") {
      out += '%';
      ++pos;
      return;
    }
    const Value* named = format.substr(pos, 1) == "(" ? &operand(format, pos) : nullptr;
    Spec spec;
    bool zero = false;
    for (; pos < format.size() &&
           std::string_view("-+ #0").find(format[pos]) != std::string_view::npos;
         ++pos) {
      const char flag = format[pos];
      if (flag == '-') spec.align = '<';
      if (flag == '+' || (flag == ' ' && spec.sign != '+')) spec.sign = flag;
      spec.alternate = spec.alternate || flag == '#';
      zero = zero || flag == '0';
    }
    spec.width = std::max<int64_t>(read_number(interpreter_, format, pos), 0);
    if (format.substr(pos, 1) == ".") {
      ++pos;
      spec.precision = std::max<int64_t>(read_number(interpreter_, format, pos), 0);
    }
    if (pos == format.size()) interpreter_.error("incomplete format");
    spec.type = format[pos++];
    const Value& value = named != nullptr ? *named : next();
    if (spec.type == 's' || spec.type == 'r') {
      return write_text(spec.type == 's' ? value.to_string() : value.repr(), spec, '>', out);
    }
    if (!is_integer_type(spec.type) && !is_float_type(spec.type)) {
      interpreter_.error(fmt::format("unsupported format character '{}'", spec.type));
    }
    if (zero && spec.align == 0) {
      spec.align = '=';
      spec.fill = "0";
    }
    write_number(interpreter_, value, spec, out);
  }

  Interpreter& interpreter_;
  std::vector<Value> values_;
  const Dict* mapping_ = nullptr;
  size_t used_ = 0;
};

// ---- "{}".format(values)

// [[fill]align][sign][#][0][width][,][.precision][type]
Spec parse_spec(Interpreter& interpreter, std::string_view text) {
  constexpr std::string_view kAligns = "<>^=";
  Spec spec;
  size_t pos = 0;
  const auto take = [&](std::string_view any) {
    const bool found = pos < text.size() && any.find(text[pos]) != std::string_view::npos;
    return found ? text[pos++] : '\0';
  };
  const size_t first = character_offset(text, 0, 1);
  if (first < text.size() && kAligns.find(text[first]) != std::string_view::npos) {
    spec.fill = text.substr(0, first);
    pos = first;
  }
  spec.align = take(kAligns);
  if (const char sign = take("+- ")) spec.sign = sign;
  spec.alternate = take("#") != 0;
  if (take("0") != 0 && spec.align == 0) {
    spec.align = '=';
    spec.fill = "0";
  }
  spec.width = std::max<int64_t>(read_number(interpreter, text, pos), 0);
  spec.commas = take(",") != 0;
  if (take(".") != 0) spec.precision = read_number(interpreter, text, pos);
  spec.type = take("sdxXobfeEgGF%");
  if (pos != text.size())
    interpreter.error(fmt::format("format(): bad specification '{:.50}'", text));
  return spec;
}

void write_formatted(Interpreter& interpreter, const Value& value, std::string_view text,
                     TextBuilder& out) {
  if (text.empty()) return value.write_to(out);
  Spec spec = parse_spec(interpreter, text);
  if (value.is_string() || (spec.type == 's')) {
    if (spec.type != 0 && spec.type != 's') interpreter.error("format(): a text is no number");
    return write_text(value.to_string(), spec, '<', out);
  }
  if (!value.is_number()) {
    interpreter.error(fmt::format("format(): a {} takes no specification", value.type_name()));
  }
  if (spec.type == 0 && value.is_float()) {
    if (spec.precision < 0) return write_text(value.to_string(), spec, '>', out);
    spec.type = 'g';
  }
  if (spec.type == 0) spec.type = 'd';
  if (is_integer_type(spec.type) && value.is_float())
    interpreter.error("format(): a float is no integer");
  write_number(interpreter, value, spec, out);
}

class TextFormat {
 public:
  TextFormat(Interpreter& interpreter, const Arguments& arguments)
      : interpreter_(interpreter), arguments_(arguments) {}

  Value run(std::string_view text) {
    charge_characters(text.size());
    TextBuilder out;
    for (size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      if ((c == '{' || c == '}') && text.substr(i + 1, 1) == text.substr(i, 1)) {
        out += c;
        ++i;
      } else if (c == '{') {
        const size_t end = text.find('}', i);
        if (end == std::string_view::npos) interpreter_.error("format(): single '{'");
        field(text.substr(i + 1, end - i - 1), out);
        i = end;
      } else if (c == '}') {
        interpreter_.error("format(): single '}'");
      } else {
        out += c;
      }
    }
    return Value(out.take());
  }

 private:
  // name[.attribute or [key] ...][!r or !s][:specification]
  void field(std::string_view text, TextBuilder& out) {
    const size_t colon = std::min(text.find(':'), text.size());
    std::string_view name = text.substr(0, colon);
    const std::string_view spec = colon < text.size() ? text.substr(colon + 1) : "";
    const size_t mark = std::min(name.find('!'), name.size());
    const std::string_view conversion = name.substr(mark);
    name = name.substr(0, mark);
    const size_t end = std::min(name.find_first_of(".["), name.size());
    Value value = argument(name.substr(0, end));
    if (end < name.size()) value = follow(std::move(value), name.substr(end));
    if (conversion == "!r") value = Value(value.repr());
    if (conversion == "!s") value = Value(value.to_string());
    write_formatted(interpreter_, value, spec, out);
  }

  Value argument(std::string_view name) {
    const bool number = name.find_first_not_of("0123456789") == std::string_view::npos;
    if (number && name.size() < 6) {
      const size_t index = name.empty() ? next_++ : std::stoul(std::string(name)) + 1;
      if (index < arguments_.positional.size()) return arguments_.positional[index];
    }
    for (const auto& [known, value] : arguments_.named) {
      if (known == name) return value;
    }
    interpreter_.error(fmt::format("format(): no argument '{:.100}'", name));
  }

  Value follow(Value value, std::string_view path) {
    while (!path.empty()) {
      const bool bracket = path[0] == '[';
      const size_t end =
          std::min(bracket ? path.find(']') : path.find_first_of(".[", 1), path.size());
      const std::string part(path.substr(1, end - 1));
      const bool number = !part.empty() && part.size() < 10 &&
                          part.find_first_not_of("0123456789") == std::string::npos;
      value = bracket ? interpreter_.subscript(
                            value, number ? Value(int64_t{std::stol(part)}) : Value(part))
                      : interpreter_.attribute(value, part);
      path = path.substr(std::min(end + (bracket ? 1 : 0), path.size()));
    }
    return value;
  }

  Interpreter& interpreter_;
  const Arguments& arguments_;
  size_t next_ = 1;
};

}  // namespace

Value percent_format(Interpreter& interpreter, const std::string& format, const Value& arguments) {
  return PercentFormat(interpreter, arguments).run(format);
}

Value text_format(Interpreter& interpreter, Arguments& arguments) {
  return TextFormat(interpreter, arguments).run(*subject(arguments).as_string());
}

}  // namespace tq::jinja
