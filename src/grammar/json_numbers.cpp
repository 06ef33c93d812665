// Numbers of JSON within bounds, as expressions over digits.
#include <algorithm>
#include <cstdlib>
#include <string>

#include "base/error.h"
#include "grammar/json_parts.h"

namespace tq {

using Expr = GrammarExpr;

namespace {

constexpr size_t kMostDigits = 18;

const std::string& most_digits() {
  static const std::string digits(kMostDigits, '9');
  return digits;
}

}  // namespace

// A decimal number: digits without leading zeros, and those after the point without trailing ones.
struct JsonParts::Decimal {
  bool is_negative = false;
  std::string whole = "0";
  std::string fraction;

  bool is_zero() const { return whole == "0" && fraction.empty(); }
};

// A bound of a nonnegative number.
struct JsonParts::Side {
  Decimal value;
  bool strict = false;  // the value itself is out
};

namespace {

// -1, 0 or 1.
int compare_digits(const std::string& a, const std::string& b) {
  if (a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
  const int order = a.compare(b);
  return order < 0 ? -1 : order > 0 ? 1 : 0;
}

// To a number without leading zeros.
std::string plus_one(std::string digits) {
  size_t i = digits.size();
  while (i > 0 && digits[i - 1] == '9') digits[--i] = '0';
  if (i == 0) return "1" + digits;
  ++digits[i - 1];
  return digits;
}
std::string minus_one(std::string digits) {  // of a positive one
  size_t i = digits.size();
  while (digits[i - 1] == '0') digits[--i] = '9';
  --digits[i - 1];
  const size_t begin = digits.find_first_not_of('0');
  return begin == std::string::npos ? "0" : digits.substr(begin);
}

}  // namespace

JsonParts::Decimal JsonParts::decimal_of(const Json& number) {
  const std::string text = number.dump();
  Decimal out;
  size_t i = 0;
  if (text[i] == '-') {
    out.is_negative = true;
    ++i;
  }
  std::string digits;
  int64_t point = -1;
  for (; i < text.size() && text[i] != 'e' && text[i] != 'E'; ++i) {
    if (text[i] == '.') {
      point = static_cast<int64_t>(digits.size());
    } else {
      digits += text[i];
    }
  }
  if (point < 0) point = static_cast<int64_t>(digits.size());
  if (i < text.size()) {
    const long exponent = std::strtol(text.c_str() + i + 1, nullptr, 10);
    if (std::labs(exponent) > 40) {
      fail(ErrorCode::kUnsupported, "the bound {} is not supported: write it with fewer digits",
           text);
    }
    point += exponent;
  }
  if (point < 0) {
    digits.insert(0, static_cast<size_t>(-point), '0');
    point = 0;
  }
  if (static_cast<size_t>(point) > digits.size()) digits.resize(static_cast<size_t>(point), '0');
  out.whole = digits.substr(0, static_cast<size_t>(point));
  out.fraction = digits.substr(static_cast<size_t>(point));
  out.whole.erase(0, std::min(out.whole.find_first_not_of('0'), out.whole.size()));
  if (out.whole.empty()) out.whole = "0";
  out.fraction.erase(out.fraction.find_last_not_of('0') + 1);
  if (out.is_zero()) out.is_negative = false;
  return out;
}

Expr JsonParts::digits(int64_t least, int64_t most) {
  if (most <= 0) return builder_.empty();
  return builder_.repeat(digit_between('0', '9'), least, most);
}

Expr JsonParts::digit_between(char first, char last) {
  if (first > last) return builder_.never();
  return builder_.chars(CharSet({{static_cast<char32_t>(first), static_cast<char32_t>(last)}}));
}

// So many digits, not less than these.
Expr JsonParts::at_least(std::string_view low) {
  std::vector<Expr> options = {builder_.text(low)};
  for (size_t i = 0; i < low.size(); ++i) {
    const auto rest = static_cast<int64_t>(low.size() - i - 1);
    if (low[i] == '9') continue;
    options.push_back(
        builder_.sequence({builder_.text(low.substr(0, i)),
                           digit_between(static_cast<char>(low[i] + 1), '9'), digits(rest, rest)}));
  }
  return builder_.choice(std::move(options));
}

Expr JsonParts::at_most(std::string_view high) {
  std::vector<Expr> options = {builder_.text(high)};
  for (size_t i = 0; i < high.size(); ++i) {
    const auto rest = static_cast<int64_t>(high.size() - i - 1);
    if (high[i] == '0') continue;
    options.push_back(builder_.sequence({builder_.text(high.substr(0, i)),
                                         digit_between('0', static_cast<char>(high[i] - 1)),
                                         digits(rest, rest)}));
  }
  return builder_.choice(std::move(options));
}

// Both have as many digits, and low is not the larger.
Expr JsonParts::between(std::string_view low, std::string_view high) {
  size_t same = 0;
  while (same < low.size() && low[same] == high[same]) ++same;
  const Expr start = builder_.text(low.substr(0, same));
  if (same == low.size()) return start;
  const auto rest = static_cast<int64_t>(low.size() - same - 1);
  return builder_.sequence(
      {start, builder_.choice({builder_.sequence({builder_.text(low.substr(same, 1)),
                                                  at_least(low.substr(same + 1))}),
                               builder_.sequence({digit_between(static_cast<char>(low[same] + 1),
                                                                static_cast<char>(high[same] - 1)),
                                                  digits(rest, rest)}),
                               builder_.sequence({builder_.text(high.substr(same, 1)),
                                                  at_most(high.substr(same + 1))})})});
}

// Whole numbers from low to high, without leading zeros.
Expr JsonParts::natural(const std::string& low, const std::string& high) {
  if (compare_digits(low, high) > 0) return builder_.never();
  std::vector<Expr> options;
  for (size_t n = low.size(); n <= high.size(); ++n) {
    const std::string first = n == low.size() ? low : "1" + std::string(n - 1, '0');
    const std::string last = n == high.size() ? high : std::string(n, '9');
    options.push_back(between(first, last));
  }
  return builder_.choice(std::move(options));
}

Expr JsonParts::integer() {
  return shared("integer", [&] {
    return builder_.sequence({builder_.optional(builder_.text("-")), natural("0", most_digits())});
  });
}

Expr JsonParts::number() {
  return shared("number", [&] {
    GrammarBuilder& b = builder_;
    const Expr fraction = b.sequence({b.text("."), digits(1, kMostDigits)});
    const Expr exponent = b.sequence({b.chars(CharSet({{'e', 'e'}, {'E', 'E'}})),
                                      b.optional(b.chars(CharSet({{'+', '+'}, {'-', '-'}}))),
                                      digits(1, 2)});  // readers refuse 1e999
    return b.sequence({b.optional(b.text("-")), natural("0", most_digits()), b.optional(fraction),
                       b.optional(exponent)});
  });
}

Expr JsonParts::joined(const Tail& tail) {
  return tail.may_end ? builder_.optional(tail.more) : tail.more;
}

JsonParts::Tail JsonParts::digits_above(std::string_view low, bool strict) {
  const Expr any = digits(0, kMostDigits);
  if (low.empty()) {
    if (!strict) return {true, digits(1, kMostDigits)};
    return {false, builder_.sequence({builder_.repeat(builder_.text("0"), 0, kMostDigits),
                                      digit_between('1', '9'), any})};
  }
  return {false, builder_.choice(
                     {builder_.sequence({digit_between(static_cast<char>(low[0] + 1), '9'), any}),
                      builder_.sequence({builder_.text(low.substr(0, 1)),
                                         joined(digits_above(low.substr(1), strict))})})};
}

JsonParts::Tail JsonParts::digits_below(std::string_view high, bool strict) {
  if (high.empty()) {
    if (strict) return {false, builder_.never()};
    return {true, builder_.repeat(builder_.text("0"), 1, kMostDigits)};
  }
  return {true,
          builder_.choice({builder_.sequence({digit_between('0', static_cast<char>(high[0] - 1)),
                                              digits(0, kMostDigits)}),
                           builder_.sequence({builder_.text(high.substr(0, 1)),
                                              joined(digits_below(high.substr(1), strict))})})};
}

JsonParts::Tail JsonParts::digits_between(std::string_view low, bool low_strict,
                                          std::string_view high, bool high_strict) {
  if (low.empty() && high.empty()) {
    if (low_strict || high_strict) return {false, builder_.never()};
    return digits_below({}, false);
  }
  const char first = low.empty() ? '0' : low[0];
  const char last = high.empty() ? '0' : high[0];
  if (first > last) return {false, builder_.never()};
  const std::string_view low_rest = low.substr(low.empty() ? 0 : 1);
  const std::string_view high_rest = high.substr(high.empty() ? 0 : 1);
  const Expr first_text = builder_.text(std::string(1, first));
  const bool may_end = low.empty() && !low_strict;
  if (first == last) {
    const Tail rest = digits_between(low_rest, low_strict, high_rest, high_strict);
    return {may_end, builder_.sequence({first_text, joined(rest)})};
  }
  return {may_end, builder_.choice(
                       {builder_.sequence({digit_between(static_cast<char>(first + 1),
                                                         static_cast<char>(last - 1)),
                                           digits(0, kMostDigits)}),
                        builder_.sequence({first_text, joined(digits_above(low_rest, low_strict))}),
                        builder_.sequence({builder_.text(std::string(1, last)),
                                           joined(digits_below(high_rest, high_strict))})})};
}

// The point and the digits; nothing, where these may be none.
Expr JsonParts::fraction(const Tail& tail) {
  const Expr some = builder_.sequence({builder_.text("."), tail.more});
  return tail.may_end ? builder_.optional(some) : some;
}

Expr JsonParts::decimals(const Side& low, const std::optional<Side>& high) {
  const Decimal& from = low.value;
  const Tail above = digits_above(from.fraction, low.strict);
  const Tail any = {true, digits(1, kMostDigits)};
  std::vector<Expr> options;
  if (high && from.whole == high->value.whole) {
    const Tail between =
        digits_between(from.fraction, low.strict, high->value.fraction, high->strict);
    return builder_.sequence({builder_.text(from.whole), fraction(between)});
  }
  if (high && compare_digits(from.whole, high->value.whole) > 0) return builder_.never();
  options.push_back(builder_.sequence({builder_.text(from.whole), fraction(above)}));
  const std::string last = high ? minus_one(high->value.whole) : most_digits();
  options.push_back(builder_.sequence({natural(plus_one(from.whole), last), fraction(any)}));
  if (high) {
    const Tail below = digits_below(high->value.fraction, high->strict);
    options.push_back(builder_.sequence({builder_.text(high->value.whole), fraction(below)}));
  }
  return builder_.choice(std::move(options));
}

Expr JsonParts::naturals(const Side& low, const std::optional<Side>& high) {
  const Decimal& from = low.value;
  const std::string first =
      low.strict || !from.fraction.empty() ? plus_one(from.whole) : from.whole;
  if (!high) return natural(first, most_digits());
  std::string last = high->value.whole;
  if (high->strict && high->value.fraction.empty()) {
    if (last == "0") return builder_.never();
    last = minus_one(last);
  }
  return natural(first, last);
}

// The tighter of the two bounds; direction 1: of lower ones, -1: of upper ones.
std::optional<JsonParts::Side> JsonParts::tighter(const std::optional<Json>& bound,
                                                  const std::optional<Json>& strict_bound,
                                                  int direction) {
  const auto compare = [](const Decimal& a, const Decimal& b) {
    if (a.is_negative != b.is_negative) return a.is_negative ? -1 : 1;
    int order = compare_digits(a.whole, b.whole);
    if (order == 0) order = a.fraction.compare(b.fraction);
    return a.is_negative ? -order : order;
  };
  std::optional<Side> side;
  if (bound) side = Side{decimal_of(*bound), false};
  if (!strict_bound) return side;
  const Side strict = {decimal_of(*strict_bound), true};
  if (side && direction * compare(strict.value, side->value) < 0) return side;
  return strict;
}

// Those that are not negative, and the negative ones turned about.
template <typename Make>
Expr JsonParts::signed_numbers(const NumberBounds& bounds, const Make& make) {
  const auto low = tighter(bounds.minimum, bounds.exclusive_minimum, 1);
  const auto high = tighter(bounds.maximum, bounds.exclusive_maximum, -1);
  const auto turned = [](Side side) {
    side.value.is_negative = !side.value.is_negative;
    return side;
  };
  std::vector<Expr> options;
  if (!high || !high->value.is_negative) {
    options.push_back(make(low && !low->value.is_negative ? *low : Side{}, high));
  }
  const bool has_negative = !low || low->value.is_negative;
  if (has_negative) {
    const Side least = high && high->value.is_negative ? turned(*high) : Side{{}, true};
    std::optional<Side> most;
    if (low) most = turned(*low);
    options.push_back(builder_.sequence({builder_.text("-"), make(least, most)}));
  }
  return builder_.choice(std::move(options));
}

Expr JsonParts::number(const NumberBounds& bounds) {
  return signed_numbers(bounds, [this](const Side& low, const std::optional<Side>& high) {
    return decimals(low, high);
  });
}

Expr JsonParts::integer(const NumberBounds& bounds) {
  return signed_numbers(bounds, [this](const Side& low, const std::optional<Side>& high) {
    return naturals(low, high);
  });
}

}  // namespace tq
