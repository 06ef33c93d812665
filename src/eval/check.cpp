#include "eval/check.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/ascii.h"
#include "base/error.h"
#include "eval/language.h"

namespace tq {
namespace {

std::vector<std::string> read_texts(const Json& json, const std::string& where) {
  std::vector<std::string> texts;
  if (json.is_array()) {
    for (const Json& item : json) {
      if (item.is_string() && !item.get_ref<const std::string&>().empty()) {
        texts.push_back(item.get<std::string>());
      }
    }
  }
  if (texts.empty() || texts.size() != json.size()) {
    fail(ErrorCode::kCorrupt, "{}: a list of texts is wanted, not {}", where,
         json_for_message(json));
  }
  return texts;
}

double read_number(const Json& json, const std::string& where) {
  if (!json.is_number()) {
    fail(ErrorCode::kCorrupt, "{}: a number is wanted, not {}", where, json_for_message(json));
  }
  return json.get<double>();
}

struct KindName {
  const char* name;
  Check::Kind kind;
};
constexpr KindName kKinds[] = {{"language", Check::Kind::kLanguage},
                               {"contains_any", Check::Kind::kContainsAny},
                               {"contains_all", Check::Kind::kContainsAll},
                               {"absent", Check::Kind::kAbsent},
                               {"number", Check::Kind::kNumber},
                               {"json", Check::Kind::kJson},
                               {"most_words", Check::Kind::kMostWords},
                               {"least_words", Check::Kind::kLeastWords}};

void read_value(const Json& value, const std::string& where, Check& check) {
  switch (check.kind) {
    case Check::Kind::kLanguage:
      if (!value.is_string() || !is_known_language(value.get_ref<const std::string&>())) {
        fail(ErrorCode::kCorrupt, "{}: language {}: en, fi, sv or other", where,
             json_for_message(value));
      }
      check.texts = {value.get<std::string>()};
      return;
    case Check::Kind::kNumber:
    case Check::Kind::kMostWords:
    case Check::Kind::kLeastWords:
      check.number = read_number(value, where);
      return;
    default:
      check.texts = read_texts(value, where);
  }
}

bool is_of_word(std::string_view text, size_t at) {
  // Of a character that takes several bytes any byte will do: those that are no letters are rare.
  const auto c = static_cast<unsigned char>(text[at]);
  return c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
}

// Whether the text stands in it as whole words; one that ends with '*' may go on in the same word.
bool contains(std::string_view folded, const std::string& asked) {
  std::string text = fold_case(asked);
  const bool goes_on = text.size() > 1 && text.ends_with('*');
  if (goes_on) text.pop_back();
  for (size_t at = folded.find(text); at != std::string_view::npos;
       at = folded.find(text, at + 1)) {
    const size_t end = at + text.size();
    const bool begins = at == 0 || !is_of_word(text, 0) || !is_of_word(folded, at - 1);
    const bool ends = goes_on || end == folded.size() || !is_of_word(text, text.size() - 1) ||
                      !is_of_word(folded, end);
    if (begins && ends) return true;
  }
  return false;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The number that digits with a decimal point are.
void add_number(const std::string& digits, std::vector<double>& out) {
  double value = 0;
  const char* const end = digits.data() + digits.size();
  const auto [after, error] = std::from_chars(digits.data(), end, value);
  if (error == std::errc() && after == end) out.push_back(value);
}

// A token of digits, points and commas that ends with a digit.
void read_token(const std::string& token, std::vector<double>& out) {
  const auto without = [](std::string text, char c) {
    std::erase(text, c);
    return text;
  };
  const auto as_point = [](std::string text) {
    std::replace(text.begin(), text.end(), ',', '.');
    return text;
  };
  const size_t points = static_cast<size_t>(std::count(token.begin(), token.end(), '.'));
  const size_t commas = static_cast<size_t>(std::count(token.begin(), token.end(), ','));
  if (points > 0 && commas > 0) {  // the last one is the decimal one
    const bool by_point = token.rfind('.') > token.rfind(',');
    return add_number(by_point ? without(token, ',') : as_point(without(token, '.')), out);
  }
  if (points + commas != 1) return add_number(without(without(token, '.'), ','), out);
  add_number(as_point(token), out);
  // Three digits after it: it may set thousands apart.
  const size_t at = token.find_first_of(".,");
  if (token.size() - at == 4 && at <= 3) add_number(without(without(token, '.'), ','), out);
}

// JSON in a fence of Markdown, or as it is.
std::string_view json_part(std::string_view answer) {
  std::string_view text = trim(answer);
  if (!text.starts_with("```") || !text.ends_with("```") || text.size() < 6) return text;
  text.remove_suffix(3);
  const size_t line = text.find('\n');
  return line == std::string_view::npos ? text : trim(text.substr(line + 1));
}

bool is_object_with(std::string_view answer, const std::vector<std::string>& names) {
  Json json;
  try {
    json = parse_json(json_part(answer), "the answer");
  } catch (const Error&) {
    return false;
  }
  return json.is_object() && std::all_of(names.begin(), names.end(), [&](const std::string& name) {
           return json.contains(name);
         });
}

}  // namespace

Check read_check(const Json& json, const std::string& where) {
  if (!json.is_object()) {
    fail(ErrorCode::kCorrupt, "{}: a check is an object, not {}", where, json_for_message(json));
  }
  Check check;
  int n_kinds = 0;
  for (const auto& item : json.items()) {  // no binding: lambdas of clang 14 capture none
    const std::string& name = item.key();
    const Json& value = item.value();
    const auto* kind = std::find_if(std::begin(kKinds), std::end(kKinds),
                                    [&](const KindName& known) { return name == known.name; });
    if (kind != std::end(kKinds)) {
      ++n_kinds;
      check.kind = kind->kind;
      if (check.name.empty()) check.name = name;
      read_value(value, where, check);
    } else if (name == "name" && value.is_string()) {
      check.name = value.get<std::string>();
    } else if (name == "tolerance") {
      check.tolerance = read_number(value, where);
    } else {
      fail(ErrorCode::kCorrupt, "{}: a check has no \"{}\"", where, name);
    }
  }
  if (n_kinds != 1) {
    fail(ErrorCode::kCorrupt, "{}: a check asks for one thing, not {}", where, n_kinds);
  }
  return check;
}

bool passes(const Check& check, std::string_view answer) {
  if (trim(answer).empty()) return false;
  const std::string folded = fold_case(answer);
  const auto is_in = [&](const std::string& text) { return contains(folded, text); };
  switch (check.kind) {
    case Check::Kind::kLanguage:
      return detect_language(answer) == check.texts[0];
    case Check::Kind::kContainsAny:
      return std::any_of(check.texts.begin(), check.texts.end(), is_in);
    case Check::Kind::kContainsAll:
      return std::all_of(check.texts.begin(), check.texts.end(), is_in);
    case Check::Kind::kAbsent:
      return std::none_of(check.texts.begin(), check.texts.end(), is_in);
    case Check::Kind::kNumber: {
      const std::vector<double> numbers = numbers_of(answer);
      return std::any_of(numbers.begin(), numbers.end(), [&](double value) {
        return std::abs(value - check.number) <= check.tolerance + 1e-9;
      });
    }
    case Check::Kind::kJson:
      return is_object_with(answer, check.texts);
    case Check::Kind::kMostWords:
      return static_cast<double>(words_of(answer).size()) <= check.number;
    case Check::Kind::kLeastWords:
      return static_cast<double>(words_of(answer).size()) >= check.number;
  }
  return false;
}

std::vector<double> numbers_of(std::string_view text) {
  // Spaces that set thousands apart, as no-break spaces too, go: "1 234" is one number.
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    size_t space = text[i] == ' ' ? 1 : 0;
    if (text.substr(i).starts_with("\xC2\xA0")) space = 2;      // U+00A0
    if (text.substr(i).starts_with("\xE2\x80\xAF")) space = 3;  // U+202F
    const auto digit = [&](size_t at) { return at < text.size() && is_digit(text[at]); };
    const size_t next = i + space;
    const bool joins = space > 0 && !plain.empty() && is_digit(plain.back()) && digit(next) &&
                       digit(next + 1) && digit(next + 2) && !digit(next + 3);
    if (joins) {
      i = next - 1;
      continue;
    }
    plain += text[i];
  }
  std::vector<double> numbers;
  for (size_t i = 0; i < plain.size();) {
    if (!is_digit(plain[i])) {
      ++i;
      continue;
    }
    const size_t begin = i;
    while (i < plain.size() && (is_digit(plain[i]) || plain[i] == '.' || plain[i] == ',')) ++i;
    std::string token = plain.substr(begin, i - begin);
    while (!is_digit(token.back())) token.pop_back();
    const size_t before = numbers.size();
    read_token(token, numbers);
    if (begin > 0 && plain[begin - 1] == '-' && (begin < 2 || !is_digit(plain[begin - 2]))) {
      for (size_t n = before; n < numbers.size(); ++n) numbers[n] = -numbers[n];
    }
  }
  return numbers;
}

}  // namespace tq
