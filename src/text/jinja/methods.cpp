// Methods of str, dict and list values.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "text/jinja/interpreter.h"
#include "text/jinja/unicode.h"

namespace tq::jinja {
namespace {

const Value& self(const Arguments& arguments) { return arguments.positional[0]; }
const std::string& self_text(const Arguments& arguments) { return *self(arguments).as_string(); }

const std::string& text_of(Interpreter& interpreter, const Value& value) {
  if (!value.is_string()) {
    interpreter.error(fmt::format("expected a string, not {}", value.type_name()));
  }
  return *value.as_string();
}

// ---- str

template <std::string (*kChange)(std::string_view)>
Value change_text(Interpreter& interpreter, Arguments& arguments) {
  return interpreter.text(kChange(self_text(arguments)));
}

template <bool kLeft, bool kRight>
Value strip_method(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "strip", {"chars"});
  const std::string chars = args[0].is_string() ? *args[0].as_string() : "";
  if (args[0].is_string() && chars.empty()) return self(arguments);
  return interpreter.text(std::string(strip(self_text(arguments), chars, kLeft, kRight)));
}

// Splits at white space; the last (first for kRight) part keeps what is left after max_splits.
std::vector<std::string> split_words(std::string_view text, int64_t max_splits, bool right) {
  struct Span {
    size_t begin;
    size_t end;
  };
  std::vector<Span> words;
  bool in_word = false;
  for (size_t pos = 0, length = 0; pos < text.size(); pos += length) {
    const bool space = is_unicode_space(decode_utf8(text, pos, length));
    if (!space && !in_word) words.push_back({pos, pos});
    if (!space) words.back().end = pos + length;
    in_word = !space;
  }
  const auto n_merged = static_cast<int64_t>(words.size()) - max_splits;
  if (max_splits >= 0 && n_merged > 0) {  // the part that is not split keeps its outer white space
    if (right) {
      words[static_cast<size_t>(n_merged) - 1].begin = 0;
      words.erase(words.begin(), words.begin() + n_merged - 1);
    } else {
      words[static_cast<size_t>(max_splits)].end = text.size();
      words.resize(static_cast<size_t>(max_splits) + 1);
    }
  }
  std::vector<std::string> parts;
  for (const Span& word : words) parts.emplace_back(text.substr(word.begin, word.end - word.begin));
  return parts;
}

std::vector<std::string> split_at(std::string_view text, std::string_view separator,
                                  int64_t max_splits, bool right) {
  std::vector<std::string> parts;
  while (max_splits < 0 || static_cast<int64_t>(parts.size()) < max_splits) {
    const size_t at = right ? text.rfind(separator) : text.find(separator);
    if (at == std::string_view::npos) break;
    if (right) {
      parts.emplace_back(text.substr(at + separator.size()));
      text = text.substr(0, at);
    } else {
      parts.emplace_back(text.substr(0, at));
      text = text.substr(at + separator.size());
    }
  }
  parts.emplace_back(text);
  if (right) std::reverse(parts.begin(), parts.end());
  return parts;
}

Value list_of(Interpreter& interpreter, std::vector<std::string> parts, bool tuple = false) {
  std::vector<Value> items;
  for (std::string& part : parts) items.push_back(interpreter.text(std::move(part)));
  interpreter.step(static_cast<int64_t>(items.size()));
  interpreter.charge(items.size() * sizeof(Value));
  return Value(std::move(items), tuple);
}

template <bool kRight>
Value split_method(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "split", {"sep", "maxsplit"});
  const int64_t max_splits = args[1].is_number() ? args[1].to_int() : -1;
  const std::string& text = self_text(arguments);
  if (args[0].is_undefined() || args[0].is_none()) {
    return list_of(interpreter, split_words(text, max_splits, kRight));
  }
  const std::string& separator = text_of(interpreter, args[0]);
  if (separator.empty()) interpreter.error("split(): empty separator");
  return list_of(interpreter, split_at(text, separator, max_splits, kRight));
}

Value splitlines(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "splitlines", {"keepends"});
  const std::string& text = self_text(arguments);
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find_first_of("\r\n", begin), text.size());
    size_t next = end;
    if (next < text.size()) next += text.compare(next, 2, "\r\n") == 0 ? 2 : 1;
    lines.push_back(text.substr(begin, (args[0].truthy() ? next : end) - begin));
    begin = next;
  }
  return list_of(interpreter, std::move(lines));
}

template <bool kRight>
Value partition(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "partition", {"sep"});
  const std::string& separator = text_of(interpreter, args[0]);
  if (separator.empty()) interpreter.error("partition(): empty separator");
  const std::string& text = self_text(arguments);
  const size_t at = kRight ? text.rfind(separator) : text.find(separator);
  if (at == std::string::npos) {
    return kRight ? list_of(interpreter, {"", "", text}, true)
                  : list_of(interpreter, {text, "", ""}, true);
  }
  return list_of(interpreter, {text.substr(0, at), separator, text.substr(at + separator.size())},
                 true);
}

// startswith/endswith take a string or a tuple of them.
template <bool kStart>
Value affix_test(Interpreter& interpreter, Arguments& arguments) {
  const auto args =
      bind_arguments(interpreter, arguments, kStart ? "startswith" : "endswith", {"affix"});
  const std::string_view text = self_text(arguments);
  const auto matches = [&](const Value& affix) {
    const std::string& s = text_of(interpreter, affix);
    return kStart ? text.starts_with(s) : text.ends_with(s);
  };
  if (const List* list = args[0].as_list()) {
    return Value(std::any_of(list->items.begin(), list->items.end(), matches));
  }
  return Value(matches(args[0]));
}

template <bool kPrefix>
Value remove_affix(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "removeprefix", {"affix"});
  const std::string& affix = text_of(interpreter, args[0]);
  std::string_view text = self_text(arguments);
  if (kPrefix && text.starts_with(affix)) text.remove_prefix(affix.size());
  if (!kPrefix && text.ends_with(affix)) text.remove_suffix(affix.size());
  return interpreter.text(std::string(text));
}

Value replace(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "replace", {"old", "new", "count"});
  const std::string& text = self_text(arguments);
  const std::string& from = text_of(interpreter, args[0]);
  const std::string& to = text_of(interpreter, args[1]);
  int64_t left = args[2].is_number() ? args[2].to_int() : -1;
  std::string out;
  if (from.empty()) {  // between all characters and at both ends
    const std::vector<size_t> offsets = character_offsets(text);
    interpreter.charge(offsets.size() * to.size());
    for (size_t i = 0; i < offsets.size(); ++i) {
      if (left != 0) out += to;
      left -= left > 0 ? 1 : 0;
      if (i + 1 < offsets.size()) out.append(text, offsets[i], offsets[i + 1] - offsets[i]);
    }
    return interpreter.text(std::move(out));
  }
  size_t begin = 0;
  for (size_t at = 0; left != 0 && (at = text.find(from, begin)) != std::string::npos;) {
    interpreter.charge(to.size());
    out.append(text, begin, at - begin);
    out += to;
    begin = at + from.size();
    left -= left > 0 ? 1 : 0;
  }
  out.append(text, begin, std::string::npos);
  return interpreter.text(std::move(out));
}

// find, rfind (kMustExist: index): the place in characters, or -1.
template <bool kRight, bool kMustExist>
Value find(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "find", {"sub"});
  const std::string& text = self_text(arguments);
  const std::string& part = text_of(interpreter, args[0]);
  const size_t at = kRight ? text.rfind(part) : text.find(part);
  if (at == std::string::npos) {
    if (kMustExist) interpreter.error("index(): substring not found");
    return Value(int64_t{-1});
  }
  return Value(character_count(std::string_view(text).substr(0, at)));
}

Value count(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "count", {"sub"});
  const std::string& text = self_text(arguments);
  const std::string& part = text_of(interpreter, args[0]);
  if (part.empty()) return Value(character_count(text) + 1);
  int64_t n = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++n;
  return Value(n);
}

Value join(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "join", {"iterable"});
  std::string out;
  bool begin = true;
  for (const Value& item : interpreter.iterate(args[0])) {
    if (!begin) out += self_text(arguments);
    begin = false;
    out += text_of(interpreter, item);
  }
  return interpreter.text(std::move(out));
}

template <bool (*kClass)(uint32_t)>
Value all_characters(Interpreter&, Arguments& arguments) {
  const std::string& text = self_text(arguments);
  for (size_t pos = 0, length = 0; pos < text.size(); pos += length) {
    if (!kClass(decode_utf8(text, pos, length))) return Value(false);
  }
  return Value(!text.empty());
}

bool is_alnum(uint32_t code) { return is_unicode_alpha(code) || is_unicode_digit(code); }

// isupper/islower: at least one cased character and none of the other case.
template <bool (*kWanted)(uint32_t), bool (*kOther)(uint32_t)>
Value cased(Interpreter&, Arguments& arguments) {
  const std::string& text = self_text(arguments);
  bool found = false;
  for (size_t pos = 0, length = 0; pos < text.size(); pos += length) {
    const uint32_t code = decode_utf8(text, pos, length);
    if (kOther(code)) return Value(false);
    found = found || kWanted(code);
  }
  return Value(found);
}

// "{} {0} {name}".format(...), without format specifications.
Value format(Interpreter& interpreter, Arguments& arguments) {
  const std::string& text = self_text(arguments);
  std::string out;
  size_t next = 1;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if ((c == '{' || c == '}') && i + 1 < text.size() && text[i + 1] == c) {
      out += c;
      ++i;
    } else if (c == '{') {
      const size_t end = text.find('}', i);
      if (end == std::string::npos) interpreter.error("format(): single '{'");
      const std::string field = text.substr(i + 1, end - i - 1);
      const bool number = field.find_first_not_of("0123456789") == std::string::npos;
      const Value* value = nullptr;
      if (number && field.size() < 6) {
        const size_t index = field.empty() ? next++ : std::stoul(field) + 1;
        if (index < arguments.positional.size()) value = &arguments.positional[index];
      }
      for (const auto& [name, named] : arguments.named) {
        if (name == field) value = &named;
      }
      if (value == nullptr) interpreter.error(fmt::format("format(): no argument '{}'", field));
      out += value->to_string();
      i = end;
    } else if (c == '}') {
      interpreter.error("format(): single '}'");
    } else {
      out += c;
    }
  }
  return interpreter.text(std::move(out));
}

// ---- dict and list

Value get(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "get", {"key", "default"});
  const Value* value = self(arguments).as_dict()->find(args[0]);
  if (value != nullptr) return *value;
  return args[1].is_undefined() && arguments.positional.size() < 3 ? Value(nullptr) : args[1];
}

template <bool kKeys, bool kValues>
Value entries(Interpreter& interpreter, Arguments& arguments) {
  std::vector<Value> out;
  for (const auto& [key, value] : self(arguments).as_dict()->entries()) {
    out.push_back(kKeys && kValues ? Value(std::vector<Value>{key, value}, true)
                  : kKeys          ? key
                                   : value);
  }
  interpreter.step(static_cast<int64_t>(out.size()));
  interpreter.charge(out.size() * sizeof(Value));
  return Value(std::move(out));
}

Value copy(Interpreter&, Arguments& arguments) { return self(arguments); }

Value list_index(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "index", {"value"});
  const auto& items = self(arguments).as_list()->items;
  for (size_t i = 0; i < items.size(); ++i) {
    if (equal(items[i], args[0])) return Value(static_cast<int64_t>(i));
  }
  interpreter.error("index(): value is not in the list");
}

Value list_count(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "count", {"value"});
  const auto& items = self(arguments).as_list()->items;
  return Value(static_cast<int64_t>(std::count_if(
      items.begin(), items.end(), [&](const Value& v) { return equal(v, args[0]); })));
}

// Hugging Face renders templates in a sandbox that forbids changing lists and dicts.
Value forbidden(Interpreter& interpreter, Arguments& arguments) {
  interpreter.error(
      fmt::format("changing a {} is not allowed in a template", self(arguments).type_name()));
}

struct Row {
  std::string_view name;
  Builtin function;
};
constexpr std::array<Row, 32> kStringMethods = {{
    {"capitalize", change_text<to_capitalized>},
    {"count", count},
    {"endswith", affix_test<false>},
    {"find", find<false, false>},
    {"format", format},
    {"index", find<false, true>},
    {"isalnum", all_characters<is_alnum>},
    {"isalpha", all_characters<is_unicode_alpha>},
    {"isdecimal", all_characters<is_unicode_digit>},
    {"isdigit", all_characters<is_unicode_digit>},
    {"islower", cased<is_unicode_lower, is_unicode_upper>},
    {"isnumeric", all_characters<is_unicode_digit>},
    {"isspace", all_characters<is_unicode_space>},
    {"isupper", cased<is_unicode_upper, is_unicode_lower>},
    {"join", join},
    {"lower", change_text<to_lower>},
    {"lstrip", strip_method<true, false>},
    {"partition", partition<false>},
    {"removeprefix", remove_affix<true>},
    {"removesuffix", remove_affix<false>},
    {"replace", replace},
    {"rfind", find<true, false>},
    {"rindex", find<true, true>},
    {"rpartition", partition<true>},
    {"rsplit", split_method<true>},
    {"rstrip", strip_method<false, true>},
    {"split", split_method<false>},
    {"splitlines", splitlines},
    {"startswith", affix_test<true>},
    {"strip", strip_method<true, true>},
    {"title", change_text<to_title>},
    {"upper", change_text<to_upper>},
}};
constexpr std::array<Row, 10> kDictMethods = {{
    {"clear", forbidden},
    {"copy", copy},
    {"get", get},
    {"items", entries<true, true>},
    {"keys", entries<true, false>},
    {"pop", forbidden},
    {"popitem", forbidden},
    {"setdefault", forbidden},
    {"update", forbidden},
    {"values", entries<false, true>},
}};
constexpr std::array<Row, 11> kListMethods = {{
    {"append", forbidden},
    {"clear", forbidden},
    {"copy", copy},
    {"count", list_count},
    {"extend", forbidden},
    {"index", list_index},
    {"insert", forbidden},
    {"pop", forbidden},
    {"remove", forbidden},
    {"reverse", forbidden},
    {"sort", forbidden},
}};

template <size_t kSize>
Builtin find_row(const std::array<Row, kSize>& rows, std::string_view name) {
  for (const Row& row : rows) {
    if (row.name == name) return row.function;
  }
  return nullptr;
}

}  // namespace

Builtin find_method(const Value& object, std::string_view name) {
  if (object.is_string()) return find_row(kStringMethods, name);
  if (object.as_dict() != nullptr) return find_row(kDictMethods, name);
  if (object.as_list() != nullptr) return find_row(kListMethods, name);
  return nullptr;
}

}  // namespace tq::jinja
