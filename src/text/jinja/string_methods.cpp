#include "text/jinja/string_methods.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "text/jinja/text_search.h"
#include "text/jinja/unicode.h"

namespace tq::jinja {
namespace {

const std::string& self_text(const Arguments& arguments) { return *subject(arguments).as_string(); }

const std::string& text_of(Interpreter& interpreter, const Value& value) {
  if (!value.is_string()) {
    interpreter.error(fmt::format("expected a string, not {}", value.type_name()));
  }
  return *value.as_string();
}

// text[start:end] in characters, as find() and others take it.
struct CharacterRange {
  std::string_view text;
  int64_t begin = 0;       // in characters
  bool is_beyond = false;  // start lies behind the end: nothing is found there, not even ""
};

CharacterRange character_range(std::string_view text, const Value& start, const Value& end) {
  const auto given = [](const Value& v) { return !v.is_undefined() && !v.is_none(); };
  if (!given(start) && !given(end)) return {text};
  charge_characters(text.size());
  const int64_t n = character_count(text);
  const auto place = [&](const Value& v, int64_t fallback) {
    if (!given(v)) return fallback;
    const int64_t i = v.to_int();
    return i < 0 ? std::max<int64_t>(i + n, 0) : i;
  };
  const int64_t begin = place(start, 0);
  const int64_t stop = std::min(place(end, n), n);
  if (begin > stop) return {{}, begin, true};
  const size_t from = character_offset(text, 0, begin);
  return {text.substr(from, character_offset(text, from, stop - begin) - from), begin, false};
}

template <std::string (*kChange)(std::string_view)>
Value change_self(Interpreter&, Arguments& arguments) {
  return Value(kChange(self_text(arguments)));
}

template <bool kLeft, bool kRight>
Value strip_method(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "strip", {"chars"});
  const bool given = arguments.positional.size() > 1 && !args[0].is_none();
  if (given && !args[0].is_string()) interpreter.error("strip() takes a text or none");
  const std::string chars = given ? *args[0].as_string() : "";
  if (args[0].is_string() && chars.empty()) return subject(arguments);
  return Value(strip(self_text(arguments), chars, kLeft, kRight));
}

Value list_of(const Parts& parts, ListKind kind = ListKind::kList) {
  charge_steps(2 * parts.size());
  require_bytes(parts.size() * sizeof(Value));
  std::vector<Value> items;
  items.reserve(parts.size());
  for (const std::string_view part : parts) items.emplace_back(part);
  return Value(std::move(items), kind);
}

template <bool kRight>
Value split_method(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "split", {"sep", "maxsplit"});
  const int64_t max_splits = args[1].is_number() ? args[1].to_int() : -1;
  const std::string& text = self_text(arguments);
  const bool given = arguments.positional.size() > 1 && !args[0].is_none();
  if (!given && !args[0].is_string()) {
    return list_of(split_words(text, max_splits, kRight));
  }
  const std::string& separator = text_of(interpreter, args[0]);
  if (separator.empty()) interpreter.error("split(): empty separator");
  return list_of(kRight ? split_at_right(text, separator, max_splits)
                        : split_at(text, separator, max_splits));
}

Value splitlines(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "splitlines", {"keepends"});
  return list_of(split_lines(self_text(arguments), args[0].truthy()));
}

template <bool kRight>
Value partition(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "partition", {"sep"});
  const std::string& separator = text_of(interpreter, args[0]);
  if (separator.empty()) interpreter.error("partition(): empty separator");
  const std::string& text = self_text(arguments);
  const size_t at = kRight ? find_text_last(text, separator) : find_text(text, separator, 0);
  if (at == std::string::npos) {
    return list_of(kRight ? Parts{"", "", text} : Parts{text, "", ""}, ListKind::kTuple);
  }
  const std::string_view whole = text;
  return list_of({whole.substr(0, at), separator, whole.substr(at + separator.size())},
                 ListKind::kTuple);
}

// startswith/endswith take a string or a tuple of them.
template <bool kStart>
Value affix_test(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, kStart ? "startswith" : "endswith",
                                   {"affix", "start", "end"});
  const CharacterRange range = character_range(self_text(arguments), args[1], args[2]);
  if (range.is_beyond) return Value(false);
  const std::string_view text = range.text;
  const auto matches = [&](const Value& affix) {
    const std::string& s = text_of(interpreter, affix);
    charge_scan(s.size());
    return kStart ? text.starts_with(s) : text.ends_with(s);
  };
  if (const List* list = args[0].as_list()) {
    if (!list->is_tuple()) interpreter.error("expected a string or a tuple of strings");
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
  return Value(text);
}

Value replace_method(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "replace", {"old", "new", "count"});
  const std::string& text = self_text(arguments);
  const std::string& from = text_of(interpreter, args[0]);
  const std::string& to = text_of(interpreter, args[1]);
  int64_t left = args[2].is_number() ? args[2].to_int() : -1;
  const std::string_view whole = text;
  TextBuilder out;
  if (from.empty()) {  // between all characters and at both ends
    charge_characters(text.size());
    for (size_t pos = 0, length = 0; pos <= text.size(); pos += length) {
      if (left != 0) out += to;
      left -= left > 0 ? 1 : 0;
      if (pos == text.size()) break;
      decode_utf8(text, pos, length);
      out += whole.substr(pos, length);
    }
    return Value(out.take());
  }
  size_t begin = 0;
  for (size_t at = 0; left != 0 && (at = find_text(text, from, begin)) != std::string::npos;) {
    out += whole.substr(begin, at - begin);
    out += to;
    begin = at + from.size();
    left -= left > 0 ? 1 : 0;
  }
  out += whole.substr(begin);
  return Value(out.take());
}

// find, rfind (kMustExist: index): the place in characters, or -1.
template <bool kRight, bool kMustExist>
Value find(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "find", {"sub", "start", "end"});
  const CharacterRange range = character_range(self_text(arguments), args[1], args[2]);
  const std::string& part = text_of(interpreter, args[0]);
  const size_t at = range.is_beyond ? std::string::npos
                    : kRight        ? find_text_last(range.text, part)
                                    : find_text(range.text, part, 0);
  if (at == std::string::npos) {
    if (kMustExist) interpreter.error("index(): substring not found");
    return Value(int64_t{-1});
  }
  charge_characters(at);
  return Value(range.begin + character_count(range.text.substr(0, at)));
}

Value count(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "count", {"sub", "start", "end"});
  const CharacterRange range = character_range(self_text(arguments), args[1], args[2]);
  const std::string& part = text_of(interpreter, args[0]);
  if (range.is_beyond) return Value(int64_t{0});
  if (part.empty()) {
    charge_characters(range.text.size());
    return Value(character_count(range.text) + 1);
  }
  int64_t n = 0;
  for (size_t at = 0; (at = find_text(range.text, part, at)) != std::string::npos;
       at += part.size()) {
    ++n;
  }
  return Value(n);
}

Value join_method(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "join", {"iterable"});
  TextBuilder out;
  bool begin = true;
  for (const Value& item : interpreter.iterate(args[0])) {
    if (!begin) out += self_text(arguments);
    begin = false;
    out += text_of(interpreter, item);
  }
  return Value(out.take());
}

// ljust, center, rjust: filled to a width in characters; kLeft and kRight: where the fill goes.
template <bool kLeft, bool kRight>
Value justify(Interpreter& interpreter, Arguments& arguments) {
  const auto args = bind_arguments(interpreter, arguments, "justify", {"width", "fillchar"});
  const std::string& text = self_text(arguments);
  charge_characters(text.size());
  const std::string fill = args[1].is_undefined() ? " " : text_of(interpreter, args[1]);
  if (character_count(fill) != 1) interpreter.error("the fill character must be one character");
  const int64_t missing = std::max<int64_t>(args[0].to_int() - character_count(text), 0);
  // As Python's center(): the odd one goes left where the width is odd.
  const int64_t left = !kLeft    ? 0
                       : !kRight ? missing
                                 : missing / 2 + (missing & args[0].to_int() & 1);
  TextBuilder out;
  charge_steps(static_cast<size_t>(missing));
  for (int64_t i = 0; i < left; ++i) out += fill;
  out += text;
  for (int64_t i = left; i < missing; ++i) out += fill;
  return Value(out.take());
}

Value zfill(Interpreter&, Arguments& arguments) {
  const std::string& text = self_text(arguments);
  charge_characters(text.size());
  const int64_t width = arguments.positional.size() == 2 ? arguments.positional[1].to_int() : 0;
  const int64_t missing = std::max<int64_t>(width - character_count(text), 0);
  const bool sign = text.starts_with('-') || text.starts_with('+');
  TextBuilder out;
  if (sign) out += text[0];
  out.append(static_cast<size_t>(missing), '0');
  out += std::string_view(text).substr(sign ? 1 : 0);
  return Value(out.take());
}

template <bool (*kClass)(uint32_t)>
Value all_characters(Interpreter&, Arguments& arguments) {
  const std::string& text = self_text(arguments);
  charge_characters(text.size());
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
  charge_characters(text.size());
  bool found = false;
  for (size_t pos = 0, length = 0; pos < text.size(); pos += length) {
    const uint32_t code = decode_utf8(text, pos, length);
    if (kOther(code)) return Value(false);
    found = found || kWanted(code);
  }
  return Value(found);
}

constexpr std::array<BuiltinRow, 38> kStringMethods = {{
    {"capitalize", change_self<to_capitalized>},
    {"casefold", change_self<to_lower>},
    {"center", justify<true, true>},
    {"count", count},
    {"endswith", affix_test<false>},
    {"find", find<false, false>},
    {"format", text_format},
    {"index", find<false, true>},
    {"isalnum", all_characters<is_alnum>},
    {"isalpha", all_characters<is_unicode_alpha>},
    {"isdecimal", all_characters<is_unicode_digit>},
    {"isdigit", all_characters<is_unicode_digit>},
    {"islower", cased<is_unicode_lower, is_unicode_upper>},
    {"isnumeric", all_characters<is_unicode_digit>},
    {"isspace", all_characters<is_unicode_space>},
    {"isupper", cased<is_unicode_upper, is_unicode_lower>},
    {"join", join_method},
    {"ljust", justify<false, true>},
    {"lower", change_self<to_lower>},
    {"lstrip", strip_method<true, false>},
    {"partition", partition<false>},
    {"removeprefix", remove_affix<true>},
    {"removesuffix", remove_affix<false>},
    {"replace", replace_method},
    {"rfind", find<true, false>},
    {"rjust", justify<true, false>},
    {"rindex", find<true, true>},
    {"rpartition", partition<true>},
    {"rsplit", split_method<true>},
    {"rstrip", strip_method<false, true>},
    {"split", split_method<false>},
    {"splitlines", splitlines},
    {"startswith", affix_test<true>},
    {"strip", strip_method<true, true>},
    {"swapcase", change_self<to_swapped_case>},
    {"title", change_self<to_title>},
    {"upper", change_self<to_upper>},
    {"zfill", zfill},
}};

}  // namespace

std::span<const BuiltinRow> string_methods() { return kStringMethods; }

}  // namespace tq::jinja
