#include "grammar/regex.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/ascii.h"
#include "base/error.h"
#include "base/json.h"
#include "text/utf8.h"

namespace tq {
namespace {

using Expr = GrammarExpr;

const CharSet& digits() {
  static const CharSet set({{'0', '9'}});
  return set;
}
const CharSet& word_chars() {
  static const CharSet set({{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}});
  return set;
}
const CharSet& spaces() {
  static const CharSet set({{'\t', '\r'},
                            {' ', ' '},
                            {0xA0, 0xA0},
                            {0x1680, 0x1680},
                            {0x2000, 0x200A},
                            {0x2028, 0x2029},
                            {0x202F, 0x202F},
                            {0x205F, 0x205F},
                            {0x3000, 0x3000},
                            {0xFEFF, 0xFEFF}});
  return set;
}
const CharSet& not_newlines() {
  static const CharSet set = CharSet({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}).negated();
  return set;
}

// One of the alternatives of a group.
struct Alternative {
  Expr what;
  bool begins = false;  // with ^
  bool ends = false;    // with $
};

class RegexReader {
 public:
  RegexReader(GrammarBuilder& builder, std::string_view pattern, const RegexOptions& options)
      : builder_(builder), text_(pattern), options_(options) {
    if (pattern.size() > GrammarLimits::kTextBytes) {
      fail(ErrorCode::kInvalidArgument, "the regular expression has {} bytes: {} are the most",
           pattern.size(), GrammarLimits::kTextBytes);
    }
    if (!is_valid_utf8(pattern)) {
      fail(ErrorCode::kInvalidArgument, "the regular expression is not UTF-8");
    }
  }

  Expr read() {
    const std::vector<Alternative> alternatives = read_alternatives();
    if (!at_end()) refuse("there is no group that this closes");
    std::vector<Expr> options;
    for (const Alternative& one : alternatives) {
      std::vector<Expr> parts;
      if (options_.searches && !one.begins) parts.push_back(anything());
      parts.push_back(one.what);
      if (options_.searches && !one.ends) parts.push_back(anything());
      options.push_back(builder_.sequence(std::move(parts)));
    }
    return builder_.choice(std::move(options));
  }

 private:
  bool at_end() const { return at_ >= text_.size(); }
  bool is_next(char c) const { return !at_end() && text_[at_] == c; }
  bool take(std::string_view token) {
    if (!text_.substr(at_).starts_with(token)) return false;
    at_ += token.size();
    return true;
  }
  char32_t take_char() {
    if (at_end()) refuse("it ends too early");
    const Utf8Char c = utf8_at(text_, at_);
    at_ += static_cast<size_t>(c.size_bytes);
    return c.code_point;
  }
  [[noreturn]] void refuse(std::string_view why,
                           ErrorCode code = ErrorCode::kInvalidArgument) const {
    fail(code, "regular expression {}, byte {}: {}", json_for_message(Json(std::string(text_))),
         at_, why);
  }
  [[noreturn]] void refuse_kind(std::string_view what) const {
    refuse(fmt::format("{} not supported", what), ErrorCode::kUnsupported);
  }

  Expr chars(const CharSet& set) {
    return options_.chars ? options_.chars(set) : builder_.chars(set);
  }
  Expr anything() { return builder_.repeat(chars(CharSet::all()), 0, std::nullopt); }

  std::vector<Alternative> read_alternatives() {
    if (++depth_ > GrammarLimits::kNesting) {
      refuse(fmt::format("groups are nested more than {} deep", GrammarLimits::kNesting));
    }
    std::vector<Alternative> all;
    do {
      for (const Alternative& one : read_alternative()) all.push_back(one);
    } while (take("|"));
    --depth_;
    return all;
  }

  // Several, when it is nothing but a group.
  std::vector<Alternative> read_alternative() {
    Alternative made;
    std::vector<Expr> parts;
    while (!at_end() && !is_next('|') && !is_next(')')) {
      if (take("^") || take("\\A")) {
        if (!parts.empty() || made.ends) refuse_kind("^ after something is");
        made.begins = true;
        continue;
      }
      if (take("$") || take("\\Z") || take("\\z")) {
        made.ends = true;
        continue;
      }
      if (made.ends) refuse_kind("$ before something is");
      if (!is_next('(')) {
        parts.push_back(read_repeats(read_atom()));
        continue;
      }
      std::vector<Alternative> inner = read_group();
      const bool is_whole =
          parts.empty() && !made.begins && (at_end() || is_next('|') || is_next(')'));
      if (is_whole) return inner;
      std::vector<Expr> options;
      for (const Alternative& one : inner) {
        if (one.begins || one.ends) refuse_kind("^ or $ in a part of the expression is");
        options.push_back(one.what);
      }
      parts.push_back(read_repeats(builder_.choice(std::move(options))));
    }
    made.what = builder_.sequence(std::move(parts));
    return {made};
  }

  std::vector<Alternative> read_group() {
    take("(");
    if (take("?")) {
      if (is_next('=') || is_next('!')) refuse_kind("look-ahead is");
      if (take("<=") || take("<!")) refuse_kind("look-behind is");
      if (take("P<") || take("<")) {
        while (!is_next('>')) take_char();
        take(">");
      } else if (!take(":")) {
        refuse_kind("this kind of group is");
      }
    }
    std::vector<Alternative> inner = read_alternatives();
    if (!take(")")) refuse("a group is not closed");
    return inner;
  }

  std::optional<int64_t> take_number() {
    if (at_end() || !is_digit(text_[at_])) return std::nullopt;
    int64_t number = 0;
    for (; !at_end() && is_digit(text_[at_]); ++at_) {
      number = std::min<int64_t>(10 * number + (text_[at_] - '0'), GrammarLimits::kRepeats + 1);
    }
    return number;
  }
  static bool is_digit(char c) { return c >= '0' && c <= '9'; }

  // The numbers in braces; nothing, and nothing read, where they are only characters.
  struct Bounds {
    int64_t least = 0;
    std::optional<int64_t> most;
  };
  std::optional<Bounds> take_bounds() {
    if (take("*")) return Bounds{0, std::nullopt};
    if (take("+")) return Bounds{1, std::nullopt};
    if (take("?")) return Bounds{0, 1};
    const size_t begin = at_;
    if (!take("{")) return std::nullopt;
    const auto least = take_number();
    std::optional<int64_t> most = least;
    if (take(",")) most = take_number();
    if (!take("}") || (!least && !most)) {
      at_ = begin;
      return std::nullopt;
    }
    if (least && most && *most < *least) refuse("a repetition whose least number is the larger");
    return Bounds{least.value_or(0), most};
  }

  Expr read_repeats(Expr atom) {
    while (const auto bounds = take_bounds()) {
      atom = builder_.repeat(atom, bounds->least, bounds->most);
      if (is_next('+')) refuse_kind("a possessive repetition is");
      take("?");  // the language is the same
    }
    return atom;
  }

  Expr read_atom() {
    if (is_next('*') || is_next('+') || is_next('?')) refuse("there is nothing to repeat");
    if (take("[")) return chars(read_class());
    if (take(".")) return chars(not_newlines());
    if (take("\\")) return chars(read_escape(false));
    const char32_t c = take_char();
    return chars(CharSet({{c, c}}));
  }

  char32_t take_hex(int n_digits) {
    char32_t value = 0;
    for (int i = 0; i < n_digits; ++i) {
      const char32_t c = take_char();
      const int digit = c < 128 ? hex_digit(static_cast<char>(c)) : -1;
      if (digit < 0) refuse(fmt::format("an escape needs {} hexadecimal digits", n_digits));
      value = value * 16 + static_cast<char32_t>(digit);
    }
    return value;
  }

  char32_t read_unicode_escape() {
    if (!take("{")) {
      const char32_t first = take_hex(4);
      if (first < 0xD800 || first > 0xDBFF || !take("\\u")) return first;
      const char32_t second = take_hex(4);
      if (second < 0xDC00 || second > 0xDFFF) refuse("there is no such character");
      return 0x10000 + (first - 0xD800) * 0x400 + (second - 0xDC00);
    }
    char32_t value = 0;
    do {
      value = value * 16 + take_hex(1);
      if (value > 0x10FFFF) refuse("there is no such character");
    } while (!take("}"));
    return value;
  }

  // After the backslash.
  CharSet read_escape(bool in_class) {
    const char32_t c = take_char();
    switch (c) {
      case 'd':
        return digits();
      case 'D':
        return digits().negated();
      case 'w':
        return word_chars();
      case 'W':
        return word_chars().negated();
      case 's':
        return spaces();
      case 'S':
        return spaces().negated();
      case 'p':
      case 'P':
        refuse_kind("a class of Unicode (\\p) is");
      case 'b':
        if (in_class) return one('\b');
        refuse_kind("a word boundary (\\b) is");
      case 'B':
        refuse_kind("\\B is");
      case 'k':
        refuse_kind("a reference to a group is");
      case 'n':
        return one('\n');
      case 'r':
        return one('\r');
      case 't':
        return one('\t');
      case 'f':
        return one('\f');
      case 'v':
        return one('\v');
      case 'a':
        return one('\a');
      case '0':
        return one(0);
      case 'x':
        return one(take_hex(2));
      case 'u':
        return one(read_unicode_escape());
      case 'U':
        return one(take_hex(8));
      case 'c':
        return one(take_char() % 32);
      default:
        break;
    }
    if (c >= '1' && c <= '9') refuse_kind("a reference to a group is");
    if (c < 128 && is_letter(static_cast<char>(c))) refuse("there is no such escape");
    return one(c);
  }
  static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
  CharSet one(char32_t c) const {
    if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) refuse("there is no such character");
    return CharSet({{c, c}});
  }

  // After the opening bracket.
  CharSet read_class() {
    const bool negated = take("^");
    CharSet set;
    while (!take("]")) {
      if (at_end()) refuse("a class of characters is not closed");
      const CharSet first = read_class_item();
      const bool is_range = is_next('-') && at_ + 1 < text_.size() && text_[at_ + 1] != ']';
      if (!is_range) {
        set.add(first);
        continue;
      }
      take("-");
      const CharSet last = read_class_item();
      const char32_t from = single(first);
      const char32_t to = single(last);
      if (from > to) refuse("a range of characters whose first comes after its last");
      set.add({from, to});
    }
    return negated ? set.negated() : set;
  }
  CharSet read_class_item() {
    if (take("\\")) return read_escape(true);
    const char32_t c = take_char();
    return CharSet({{c, c}});
  }
  char32_t single(const CharSet& set) const {
    const auto& ranges = set.ranges();
    if (ranges.size() != 1 || ranges[0].first != ranges[0].last) {
      refuse("a range from or to a class of characters");
    }
    return ranges[0].first;
  }

  GrammarBuilder& builder_;
  std::string_view text_;
  const RegexOptions& options_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

GrammarExpr add_regex(GrammarBuilder& builder, std::string_view pattern,
                      const RegexOptions& options) {
  return RegexReader(builder, pattern, options).read();
}

GrammarExpr add_regex(GrammarBuilder& builder, std::string_view pattern) {
  return add_regex(builder, pattern, RegexOptions{});
}

GrammarPtr compile_regex(std::string_view pattern) {
  GrammarBuilder builder;
  return builder.compile(add_regex(builder, pattern));
}

}  // namespace tq
