// JsonParts: JSON texts as expressions of a GrammarBuilder. White space stands after { [ , : and
// before } ], is nothing, a space, or a newline and up to 20 spaces and tabs.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "grammar/builder.h"

namespace tq {

// Bounds of numbers, as decimals of a schema.
struct NumberBounds {
  std::optional<Json> minimum = {};
  std::optional<Json> maximum = {};
  std::optional<Json> exclusive_minimum = {};
  std::optional<Json> exclusive_maximum = {};
  bool any() const { return minimum || maximum || exclusive_minimum || exclusive_maximum; }
};

class JsonParts {
 public:
  using Expr = GrammarExpr;

  explicit JsonParts(GrammarBuilder& builder) : builder_(builder) {}

  Expr space();
  // A value as it is written without white space; numbers that are integers without a fraction,
  // and exponents without sign and zeros, too.
  Expr literal(const Json& value);
  // The text between the quotes.
  static std::string quoted(std::string_view text);

  Expr value();  // any
  Expr object();
  Expr array();
  Expr string();
  Expr string(int64_t least, std::optional<int64_t> most);  // so many characters
  // A character of the set, as it stands in a string: escaped only where it must be. Control
  // characters without a short escape are left out of sets of 32 and more.
  Expr chars(const CharSet& set);
  Expr number();   // up to 18 digits, as many after the point, an exponent of up to 2
  Expr integer();  // up to 18 digits
  // Numbers without an exponent. Throws kUnsupported for bounds beyond such numbers.
  Expr number(const NumberBounds& bounds);
  Expr integer(const NumberBounds& bounds);
  // "name": value
  Expr member(std::string_view name, Expr value);
  // A string that is none of the names, as a key.
  Expr other_key(const std::vector<std::string>& names);
  Expr key_end();  // : and white space

  // {open} items separated by commas, {least} to {most} of them, {close}.
  Expr list(std::string_view open, Expr item, std::string_view close);

  // Texts of a format; nothing for one that is not known.
  std::optional<Expr> format(std::string_view name);

 private:
  // Compiles once and calls it.
  Expr shared(const std::string& name, const std::function<Expr()>& make);
  Expr any_char();
  Expr digits(int64_t least, int64_t most);
  Expr digit_between(char first, char last);

  // Of nonnegative whole numbers, as digits.
  Expr between(std::string_view low, std::string_view high);
  Expr at_least(std::string_view low);
  Expr at_most(std::string_view high);
  Expr natural(const std::string& low, const std::string& high);

  struct Decimal;
  struct Side;
  static Decimal decimal_of(const Json& number);
  static std::optional<Side> tighter(const std::optional<Json>& bound,
                                     const std::optional<Json>& strict_bound, int direction);
  // Digits that go on after others.
  struct Tail {
    bool may_end;  // at once
    Expr more;     // at least one digit
  };
  Expr joined(const Tail& tail);
  Tail digits_above(std::string_view low, bool strict);
  Tail digits_below(std::string_view high, bool strict);
  Tail digits_between(std::string_view low, bool low_strict, std::string_view high,
                      bool high_strict);
  Expr fraction(const Tail& tail);
  // Of numbers that are not negative.
  Expr decimals(const Side& low, const std::optional<Side>& high);
  Expr naturals(const Side& low, const std::optional<Side>& high);
  template <typename Make>
  Expr signed_numbers(const NumberBounds& bounds, const Make& make);

  GrammarBuilder& builder_;
  std::map<std::string, int32_t> rules_;
};

}  // namespace tq
