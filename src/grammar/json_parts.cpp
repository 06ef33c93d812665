#include "grammar/json_parts.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "grammar/regex.h"
#include "text/utf8.h"

namespace tq {
namespace {

using Expr = GrammarExpr;

constexpr int64_t kMostIndent = 20;
constexpr size_t kSmallSet = 32;

// Characters that JSON writes with a letter after a backslash.
constexpr std::pair<char32_t, char> kShort[] = {{'"', '"'},  {'\\', '\\'}, {'\b', 'b'}, {'\f', 'f'},
                                                {'\n', 'n'}, {'\r', 'r'},  {'\t', 't'}};

const CharSet& plain_chars() {
  static const CharSet set = CharSet({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}}).negated();
  return set;
}

size_t size_of(const CharSet& set) {
  size_t n = 0;
  for (const CharRange& range : set.ranges()) n += range.last - range.first + 1;
  return n;
}

}  // namespace

Expr JsonParts::shared(const std::string& name, const std::function<Expr()>& make) {
  const auto [found, is_new] = rules_.try_emplace(name, 0);
  if (is_new) {
    const int32_t rule = found->second = builder_.add_rule(name);
    builder_.define(rule, make());
    return builder_.call(rule);
  }
  return builder_.call(found->second);
}

Expr JsonParts::space() {
  const Expr indent =
      builder_.repeat(builder_.chars(CharSet({{' ', ' '}, {'\t', '\t'}})), 0, kMostIndent);
  return builder_.choice(
      {builder_.empty(), builder_.text(" "), builder_.sequence({builder_.text("\n"), indent})});
}

std::string JsonParts::quoted(std::string_view text) {
  const std::string dumped = Json(std::string(text)).dump();
  return dumped.substr(1, dumped.size() - 2);
}

Expr JsonParts::literal(const Json& value) {
  const std::string written = value.dump();
  std::vector<Expr> options = {builder_.text(written)};
  const double number = value.is_number_float() ? value.get<double>() : 0.5;
  if (number == std::floor(number) && std::abs(number) <= 1e15) {
    options.push_back(builder_.text(std::to_string(static_cast<int64_t>(number))));
  }
  // 1e-07 and 1e+20 are 1e-7 and 1e20 to most.
  const size_t exponent = value.is_number_float() ? written.find('e') : std::string::npos;
  if (exponent != std::string::npos) {
    const std::string sign = written[exponent + 1] == '-' ? "-" : "";
    const size_t digits = written.find_first_not_of("+-0", exponent + 1);
    options.push_back(
        builder_.text(written.substr(0, exponent + 1) + sign + written.substr(digits)));
  }
  return builder_.choice(std::move(options));
}

Expr JsonParts::chars(const CharSet& set) {
  std::vector<Expr> options = {builder_.chars(set.intersected(plain_chars()))};
  for (const auto& [c, letter] : kShort) {
    if (set.contains(c)) options.push_back(builder_.text(std::string("\\") + letter));
  }
  if (size_of(set) < kSmallSet) {
    for (char32_t c = 0; c < 0x20; ++c) {
      const bool is_short = std::any_of(std::begin(kShort), std::end(kShort),
                                        [c](const auto& entry) { return entry.first == c; });
      if (!is_short && set.contains(c)) {
        options.push_back(builder_.text(fmt::format("\\u{:04x}", static_cast<uint32_t>(c))));
      }
    }
  }
  return builder_.choice(std::move(options));
}

// With all escapes, but for halves of surrogate pairs.
Expr JsonParts::any_char() {
  GrammarBuilder& b = builder_;
  const Expr hex = b.chars(CharSet({{'0', '9'}, {'a', 'f'}, {'A', 'F'}}));
  const Expr d = b.chars(CharSet({{'d', 'd'}, {'D', 'D'}}));
  const Expr unit = b.choice(
      {b.sequence({b.chars(CharSet({{'0', '9'}, {'a', 'c'}, {'e', 'f'}, {'A', 'C'}, {'E', 'F'}})),
                   hex, hex, hex}),
       b.sequence({d, b.chars(CharSet({{'0', '7'}})), hex, hex}),
       b.sequence({d, b.chars(CharSet({{'8', '9'}, {'a', 'b'}, {'A', 'B'}})), hex, hex,
                   b.text("\\u"), d, b.chars(CharSet({{'c', 'f'}, {'C', 'F'}})), hex, hex})});
  const Expr letter = b.chars(CharSet({{'"', '"'},
                                       {'\\', '\\'},
                                       {'/', '/'},
                                       {'b', 'b'},
                                       {'f', 'f'},
                                       {'n', 'n'},
                                       {'r', 'r'},
                                       {'t', 't'}}));
  const Expr escape =
      b.sequence({b.text("\\"), b.choice({letter, b.sequence({b.text("u"), unit})})});
  return b.choice({b.chars(plain_chars()), escape});
}

Expr JsonParts::string() {
  return shared("string", [&] {
    return builder_.sequence(
        {builder_.text("\""), builder_.repeat(any_char(), 0, std::nullopt), builder_.text("\"")});
  });
}

Expr JsonParts::string(int64_t least, std::optional<int64_t> most) {
  const std::string name = fmt::format("string {} {}", least, most ? std::to_string(*most) : "");
  return shared(name, [&] {
    return builder_.sequence({builder_.text("\""),
                              builder_.repeat(chars(CharSet::all()), least, most),
                              builder_.text("\"")});
  });
}

Expr JsonParts::key_end() { return builder_.sequence({builder_.text(":"), space()}); }

Expr JsonParts::member(std::string_view name, Expr value) {
  return builder_.sequence({builder_.text("\"" + quoted(name) + "\""), key_end(), value});
}

// A trie of the names: a text that leaves it, or ends where no name ends, is none of them.
Expr JsonParts::other_key(const std::vector<std::string>& names) {
  if (names.empty()) return string();
  struct TrieNode {
    std::map<char32_t, int32_t> next;
    bool is_name = false;
  };
  std::vector<TrieNode> trie(1);
  for (const std::string& name : names) {
    size_t at = 0;
    for (size_t i = 0; i < name.size();) {
      const Utf8Char c = utf8_at(name, i);
      i += static_cast<size_t>(c.size_bytes);
      const auto [found, is_new] =
          trie[at].next.try_emplace(c.code_point, static_cast<int32_t>(trie.size()));
      at = static_cast<size_t>(found->second);
      if (is_new) trie.emplace_back();
    }
    trie[at].is_name = true;
  }
  const auto other = static_cast<int32_t>(trie.size());
  const int32_t end = other + 1;
  std::vector<GrammarBuilder::GraphEdge> edges;
  for (int32_t i = 0; i < other; ++i) {
    const TrieNode& node = trie[static_cast<size_t>(i)];
    CharSet known;
    for (const auto& [c, next] : node.next) {
      const CharSet one({{c, c}});
      edges.push_back({i, next, chars(one)});
      known.add(one);
    }
    edges.push_back({i, other, chars(known.negated())});
    if (!node.is_name) edges.push_back({i, end, builder_.text("\"")});
  }
  edges.push_back({other, other, chars(CharSet::all())});
  edges.push_back({other, end, builder_.text("\"")});
  return builder_.sequence({builder_.text("\""), builder_.graph(end + 1, std::move(edges))});
}

Expr JsonParts::list(std::string_view open, Expr item, std::string_view close) {
  GrammarBuilder& b = builder_;
  const Expr more = b.sequence({b.text(","), space(), item});
  const Expr items = b.sequence({item, b.repeat(more, 0, std::nullopt), space()});
  return b.sequence({b.text(open), space(), b.optional(items), b.text(close)});
}

Expr JsonParts::object() {
  return shared("object", [&] {
    return list("{", builder_.sequence({string(), key_end(), value()}), "}");
  });
}

Expr JsonParts::array() {
  return shared("array", [&] { return list("[", value(), "]"); });
}

Expr JsonParts::value() {
  return shared("value", [&] {
    return builder_.choice({object(), array(), string(), number(), builder_.text("true"),
                            builder_.text("false"), builder_.text("null")});
  });
}

std::optional<Expr> JsonParts::format(std::string_view name) {
  constexpr std::string_view kDate =
      "(([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|"
      "02-(0[1-9]|1[0-9]|2[0-8])))|(([02468][048]|[13579][26])00|[0-9]{2}(0[48]|[2468][048]|"
      "[13579][26]))-02-29)";
  constexpr std::string_view kTime =
      "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9]"
      ")";
  constexpr std::string_view kByte = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
  constexpr std::string_view kLabel = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
  std::string pattern;
  if (name == "date") {
    pattern = kDate;
  } else if (name == "time") {
    pattern = kTime;
  } else if (name == "date-time") {
    pattern = fmt::format("{}T{}", kDate, kTime);
  } else if (name == "duration") {
    pattern =
        "P([0-9]{1,9}W|([0-9]{1,9}Y([0-9]{1,9}M([0-9]{1,9}D)?)?|[0-9]{1,9}M([0-9]{1,9}D)?|"
        "[0-9]{1,9}D)(T([0-9]{1,9}H([0-9]{1,9}M([0-9]{1,9}S)?)?|[0-9]{1,9}M([0-9]{1,9}S)?|"
        "[0-9]{1,9}S))?|T([0-9]{1,9}H([0-9]{1,9}M([0-9]{1,9}S)?)?|[0-9]{1,9}M([0-9]{1,9}S)?|"
        "[0-9]{1,9}S))";
  } else if (name == "uuid") {
    pattern = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}";
  } else if (name == "ipv4") {
    pattern = fmt::format("({0}\\.){{3}}{0}", kByte);
  } else if (name == "ipv6") {
    pattern = "([0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}";
  } else if (name == "hostname") {
    // Without "--" as the third and fourth characters, which mark other alphabets.
    pattern =
        "[A-Za-z0-9]{1,2}([A-Za-z0-9]{0,20}|(-[A-Za-z0-9]{1,9}){1,5})"
        "(\\.[A-Za-z0-9]{1,2}([A-Za-z0-9]{0,20}|(-[A-Za-z0-9]{1,9}){1,5})){0,3}";
  } else if (name == "email") {
    pattern = fmt::format(
        "[A-Za-z0-9_!#$%&'*+/=?^`{{|}}~-]{{1,16}}(\\.[A-Za-z0-9_!#$%&'*+/"
        "=?^`{{|}}~-]{{1,16}}){{0,2}}"
        "@{0}(\\.{0}){{1,3}}",
        kLabel);
  } else if (name == "uri") {
    pattern =
        "[A-Za-z][A-Za-z0-9+.-]{1,15}://[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?(:[0-9]{1,5})?"
        "(/([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)*"
        "(\\?([A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?"
        "(#([A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?";
  } else {
    return std::nullopt;
  }
  return shared("format " + std::string(name), [&] {
    return builder_.sequence(
        {builder_.text("\""), add_regex(builder_, pattern), builder_.text("\"")});
  });
}

}  // namespace tq
