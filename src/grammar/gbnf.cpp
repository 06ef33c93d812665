// GBNF, the EBNF of llama.cpp:
//   root   ::= item ("," ws item)*     # a comment
//   item   ::= [a-z]+ | "\"" [^"\x00-\x1F]{1,20} "\""
// A rule ends with its line, unless a group is open or an alternative ("|") follows.
#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/ascii.h"
#include "base/error.h"
#include "grammar/builder.h"
#include "text/utf8.h"

namespace tq {
namespace {

using Expr = GrammarExpr;

class GbnfReader {
 public:
  explicit GbnfReader(std::string_view text) : text_(text) {
    if (text.size() > GrammarLimits::kTextBytes) {
      fail(ErrorCode::kInvalidArgument, "the grammar has {} bytes: {} are the most", text.size(),
           GrammarLimits::kTextBytes);
    }
    if (!is_valid_utf8(text)) fail(ErrorCode::kInvalidArgument, "the grammar is not UTF-8");
  }

  GrammarPtr read() {
    skip_space(true);
    while (at_ < text_.size()) read_rule();
    for (const auto& [name, rule] : rules_) {
      if (builder_.is_defined(rule.id)) continue;
      line_ = rule.line;
      refuse(fmt::format("the rule {} is not defined", name));
    }
    const auto root = rules_.find("root");
    if (root == rules_.end()) {
      fail(ErrorCode::kInvalidArgument,
           "the grammar has no rule \"root\", which is what it allows");
    }
    return builder_.compile(builder_.call(root->second.id));
  }

 private:
  struct Rule {
    int32_t id;
    int line;  // where it is named first
  };

  [[noreturn]] void refuse(std::string_view why,
                           ErrorCode code = ErrorCode::kInvalidArgument) const {
    fail(code, "grammar, line {}: {}", line_, why);
  }
  char peek(size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  bool take(std::string_view token) {
    if (!text_.substr(at_).starts_with(token)) return false;
    at_ += token.size();
    return true;
  }
  static bool is_name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  }
  void skip_space(bool newlines_too) {
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size()) - 1;
      } else if (c == '\n' || c == '\r') {
        if (!newlines_too) return;
        if (c == '\n') ++line_;
      } else if (c != ' ' && c != '\t') {
        return;
      }
    }
  }

  std::string take_name() {
    std::string name;
    while (is_name_char(peek())) name += text_[at_++];
    if (name.empty()) refuse("a rule's name is missing");
    return name;
  }
  Rule& rule_of(const std::string& name) {
    const auto [found, is_new] = rules_.try_emplace(name, Rule{0, line_});
    if (is_new) found->second.id = builder_.add_rule("the rule " + name);
    return found->second;
  }

  void read_rule() {
    const std::string name = take_name();
    skip_space(false);
    if (!take("::=")) refuse(fmt::format("after the name {} there is no ::=", name));
    skip_space(true);
    const int32_t rule = rule_of(name).id;
    if (builder_.is_defined(rule)) refuse(fmt::format("the rule {} is defined twice", name));
    builder_.define(rule, read_alternatives(false));
    if (at_ < text_.size() && peek() != '\n' && peek() != '\r') {
      refuse(fmt::format("the rule {} ends before \"{}\"", name, shown()));
    }
    skip_space(true);
  }
  std::string shown() const {
    const Utf8Char c = utf8_at(text_, at_);
    return std::string(text_.substr(at_, static_cast<size_t>(c.size_bytes)));
  }

  Expr read_alternatives(bool in_group) {
    if (++depth_ > GrammarLimits::kNesting) {
      refuse(fmt::format("groups are nested more than {} deep", GrammarLimits::kNesting));
    }
    std::vector<Expr> options = {read_sequence(in_group)};
    while (take("|")) {
      skip_space(true);
      options.push_back(read_sequence(in_group));
    }
    --depth_;
    return builder_.choice(std::move(options));
  }

  Expr read_sequence(bool in_group) {
    std::vector<Expr> parts;
    while (const auto atom = read_atom()) {
      Expr part = *atom;
      skip_space(in_group);
      while (const auto bounds = take_bounds()) {
        part = builder_.repeat(part, bounds->first, bounds->second);
        skip_space(in_group);
      }
      parts.push_back(part);
    }
    return builder_.sequence(std::move(parts));
  }

  std::optional<Expr> read_atom() {
    if (take("\"")) return read_literal();
    if (take("[")) return builder_.chars(read_class());
    if (take(".")) return builder_.chars(CharSet::all());
    if (take("(")) {
      skip_space(true);
      const Expr inner = read_alternatives(true);
      if (!take(")")) refuse("a group is not closed");
      return inner;
    }
    if (is_name_char(peek())) return builder_.call(rule_of(take_name()).id);
    if (peek() == '<' || peek() == '!') {
      refuse("tokens by name or number are not supported", ErrorCode::kUnsupported);
    }
    return std::nullopt;
  }

  std::optional<int64_t> take_number() {
    if (peek() < '0' || peek() > '9') return std::nullopt;
    int64_t number = 0;
    for (; peek() >= '0' && peek() <= '9'; ++at_) {
      number = std::min<int64_t>(10 * number + (peek() - '0'), GrammarLimits::kRepeats + 1);
    }
    return number;
  }

  using Bounds = std::pair<int64_t, std::optional<int64_t>>;
  std::optional<Bounds> take_bounds() {
    if (take("*")) return Bounds{0, std::nullopt};
    if (take("+")) return Bounds{1, std::nullopt};
    if (take("?")) return Bounds{0, 1};
    if (!take("{")) return std::nullopt;
    skip_space(false);
    const auto least = take_number();
    skip_space(false);
    std::optional<int64_t> most = least;
    bool is_range = false;
    if (take(",")) {
      is_range = true;
      skip_space(false);
      most = take_number();
      skip_space(false);
    }
    if (!take("}") || (!least && !(is_range && most))) {
      refuse("a repetition is written {3}, {3,} or {3,5}");
    }
    if (most && *most < least.value_or(0)) refuse("a repetition whose least number is the larger");
    return Bounds{least.value_or(0), most};
  }

  char32_t take_char(char closing) {
    if (at_ >= text_.size() || peek() == '\n') {
      refuse(fmt::format("a {} is missing on this line", closing));
    }
    if (take("\\")) return take_escape();
    const Utf8Char c = utf8_at(text_, at_);
    at_ += static_cast<size_t>(c.size_bytes);
    return c.code_point;
  }
  char32_t take_escape() {
    const char kind = peek();
    ++at_;
    switch (kind) {
      case 'x':
        return take_hex(2);
      case 'u':
        return take_hex(4);
      case 'U':
        return take_hex(8);
      case 't':
        return '\t';
      case 'r':
        return '\r';
      case 'n':
        return '\n';
      case '\\':
      case '"':
      case '[':
      case ']':
      case '-':
      case '^':
        return static_cast<char32_t>(kind);
      default:
        refuse("an escape that is none of \\n \\r \\t \\\\ \\\" \\[ \\] \\x12 \\u1234 \\U12345678");
    }
  }
  char32_t take_hex(int n_digits) {
    char32_t value = 0;
    for (int i = 0; i < n_digits; ++i, ++at_) {
      const int digit = hex_digit(peek());
      if (digit < 0) refuse(fmt::format("an escape needs {} hexadecimal digits", n_digits));
      value = value * 16 + static_cast<char32_t>(digit);
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
      refuse("an escape for a character that does not exist");
    }
    return value;
  }

  Expr read_literal() {
    std::string bytes;
    while (!take("\"")) append_utf8(take_char('"'), bytes);
    return builder_.text(bytes);
  }

  CharSet read_class() {
    const bool negated = take("^");
    CharSet set;
    while (!take("]")) {
      const char32_t first = take_char(']');
      char32_t last = first;
      if (peek() == '-' && peek(1) != ']') {
        ++at_;
        last = take_char(']');
      }
      if (last < first) refuse("a range of characters whose first comes after its last");
      set.add({first, last});
    }
    return negated ? set.negated() : set;
  }

  std::string_view text_;
  GrammarBuilder builder_;
  std::map<std::string, Rule, std::less<>> rules_;
  size_t at_ = 0;
  int line_ = 1;
  int depth_ = 0;
};

}  // namespace

GrammarPtr compile_gbnf(std::string_view text) { return GbnfReader(text).read(); }

}  // namespace tq
