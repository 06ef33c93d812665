#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "grammar/grammar.h"
#include "support/expect_error.h"
#include "unit/grammar/check_texts.h"

namespace tq {
namespace {

using fixtures::expect_error;

void check_gbnf(const std::string& grammar_text, const std::vector<std::string>& good,
                const std::vector<std::string>& bad) {
  SCOPED_TRACE(grammar_text);
  fixtures::check_texts(*compile_gbnf(grammar_text), good, bad);
}

TEST(Gbnf, Rules) {
  check_gbnf("root ::= \"a\" | b-1 \"c\"\nb-1 ::= [x-z]+ # a comment\n", {"a", "xc", "zyxc"},
             {"", "b"});
  check_gbnf("# first\n\nroot  ::=\n  \"a\" |\n  \"b\"\n\n# last", {"a", "b"}, {"ab"});
  check_gbnf("root ::= (\n \"a\"\n \"b\" # here\n)+\n", {"ab", "abab"}, {"a"});
  check_gbnf("root ::= \"a\"? \"b\"* \"c\"+ \"d\"{2} \"e\"{1,2} \"f\"{1,}", {"cddef", "abccddeeff"},
             {"cdef", "cddeeef", "cdde"});
  check_gbnf("root ::= ws \"x\" ws\nws ::= | \" \" | \"\\n\" [ \\t]{0,20}", {"x", " x", "\n\t\tx "},
             {"  x"});
  check_gbnf("root ::= \"\\x41\\u00e9\\U0001F600\\n\\t\\r\\\\\\\"\"", {"Aé😀\n\t\r\\\""}, {});
  check_gbnf("root ::= [^\"\\\\\\x7F\\x00-\\x1F]+", {"aé"}, {"\"", "\\", "\n", "\x7f"});
  check_gbnf("root ::= [a\\-\\]]+ \".\" . \".\"", {"a-].é."}, {"b"});
  check_gbnf("root ::= \"(\" root \")\" | \"\"", {"", "()", "((()))"}, {"(", "())"});
}

// As llama.cpp ships it.
TEST(Gbnf, Json) {
  check_gbnf(R"(root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws

object ::=
  "{" ws (
            string ":" ws value
    ("," ws string ":" ws value)*
  )? "}" ws

array  ::=
  "[" ws (
            value
    ("," ws value)*
  )? "]" ws

string ::=
  "\"" (
    [^"\\\x7F\x00-\x1F] |
    "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) # escapes
  )* "\"" ws

number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws

# Optional space: by convention, applied in this grammar after literal chars when allowed
ws ::= | " " | "\n" [ \t]{0,20}
)",
             {"{}", R"({"a": [1, -2.5e3, "x\n\u00e9", {"b": null}], "c": true})"},
             {"[]", "{", R"({"a"})", R"({"a":01})"});
}

TEST(Gbnf, ErrorsNameTheLine) {
  const auto refuses = [](const std::string& text, ErrorCode code, const std::string& why) {
    SCOPED_TRACE(text);
    expect_error(code, {why}, [&] { compile_gbnf(text); });
  };
  refuses("root ::= \"a\"\nx ::= y\n", ErrorCode::kInvalidArgument, "line 2: the rule y");
  refuses("a ::= \"a\"", ErrorCode::kInvalidArgument, "\"root\"");
  refuses("", ErrorCode::kInvalidArgument, "\"root\"");
  refuses("root = \"a\"", ErrorCode::kInvalidArgument, "line 1");
  refuses("root ::= \"a\n\"", ErrorCode::kInvalidArgument, "line 1: a \" is missing");
  refuses("root ::= [a", ErrorCode::kInvalidArgument, "] is missing");
  refuses("root ::= (\"a\"", ErrorCode::kInvalidArgument, "not closed");
  refuses("root ::= \"a\" )", ErrorCode::kInvalidArgument, "ends before \")\"");
  refuses("root ::= \"a\"\nroot ::= \"b\"", ErrorCode::kInvalidArgument, "line 2: the rule root");
  refuses("root ::= \"\\q\"", ErrorCode::kInvalidArgument, "escape");
  refuses("root ::= \"a\"{3,1}", ErrorCode::kInvalidArgument, "larger");
  refuses("root ::= \"a\"{x}", ErrorCode::kInvalidArgument, "{3}");
  refuses("root ::= <think>", ErrorCode::kUnsupported, "tokens");
  refuses("root ::= root \"a\" | \"b\"", ErrorCode::kInvalidArgument, "left recursion");
  refuses("root ::= a\na ::= e b\nb ::= a \"x\" | \"y\"\ne ::= \"\"", ErrorCode::kInvalidArgument,
          "left recursion");
  refuses("root ::= \"a\" root", ErrorCode::kInvalidArgument, "no text can be finished");
  refuses("root ::= \xff", ErrorCode::kInvalidArgument, "UTF-8");
}

TEST(Gbnf, HostileOnesCostAnErrorOrLittle) {
  std::string chain = "root ::= r0\n";
  for (int i = 0; i < 3000; ++i) {
    chain += "r" + std::to_string(i) + " ::= r" + std::to_string(i + 1) + "\n";
  }
  check_gbnf(chain + "r3000 ::= \"x\"", {"x"}, {"y"});
  expect_error(ErrorCode::kInvalidArgument, {"left recursion"},
               [&] { compile_gbnf(chain + "r3000 ::= r0 | \"x\""); });
  expect_error(ErrorCode::kInvalidArgument, {"deep"},
               [] { compile_gbnf("root ::= " + std::string(10000, '(')); });
  expect_error(ErrorCode::kInvalidArgument, {"too large"},
               [] { compile_gbnf("root ::= (\"a\"{1000}){1000}"); });
  // Exponentially many stacks for one text.
  const GrammarPtr ambiguous =
      compile_gbnf("root ::= \"a\" b \"b\" | \"a\" c \"c\" | \"a\"\nb ::= root\nc ::= root");
  expect_error(ErrorCode::kInvalidArgument, {"too ambiguous"},
               [&] { (void)ambiguous->matches(std::string(400, 'a')); });
}

}  // namespace
}  // namespace tq
