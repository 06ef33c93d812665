#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "grammar/char_set.h"
#include "grammar/grammar.h"
#include "support/expect_error.h"
#include "text/utf8.h"
#include "unit/grammar/check_texts.h"

namespace tq {
namespace {

using fixtures::expect_error;

void check_regex(const std::string& pattern, const std::vector<std::string>& good,
                 const std::vector<std::string>& bad) {
  SCOPED_TRACE(pattern);
  fixtures::check_texts(*compile_regex(pattern), good, bad);
}

TEST(Regex, MatchesWholeTexts) {
  check_regex("a|bc", {"a", "bc"}, {"", "ab", "abc", "b"});
  check_regex("^a$", {"a"}, {"aa", "^a$"});
  check_regex("(^a|b$)", {"a", "b"}, {"ab"});
  check_regex("\\Aa\\Z", {"a"}, {"b"});
  check_regex("", {""}, {"a"});
  check_regex("a|", {"a", ""}, {"aa"});
  check_regex("(?:ab)+(?P<name>c)?(?<other>d)*", {"ab", "ababc", "abcdd"}, {"", "abcc"});
  check_regex("a{2}b{1,3}c{2,}d{,2}", {"aabcc", "aabbbcccdd"},
              {"abcc", "aabbbbcc", "aabc", "aabccddd"});
  check_regex("a{b}", {"a{b}"}, {"a"});  // no numbers: characters
  check_regex("a*?b+?c??", {"b", "aabbc"}, {"a"});
}

TEST(Regex, RepeatsWhatMayBeEmpty) {
  check_regex("(a?){3}b", {"b", "ab", "aaab"}, {"aaaab"});
  check_regex("(a?){2,}b", {"b", "aaaab"}, {"a"});
  check_regex("a???{2}b", {"b", "aab"}, {"aaab"});
  check_regex("(a*){2}b", {"b", "aaab"}, {"a"});
  check_regex("(a*){0}b", {"b"}, {"ab"});
  check_regex("(a*?){2,3}b", {"b", "aaaaaab"}, {""});
  // As many states as copies, each of which leads to the next only: it took seconds.
  const std::string many(5440, 'a');
  check_regex("a????{5440}(?:b|c)?$", {"", many, many + "c"}, {many + "a"});
}

TEST(Regex, Characters) {
  check_regex("[a-c_-]", {"a", "b", "_", "-"}, {"d", "", "ab"});
  check_regex("[^a-c]", {"d", "\n", "é", "😀"}, {"a", "\xff", "\xc3"});
  check_regex(".", {"a", "é"}, {"\n", "\r", ""});
  check_regex("\\d\\D\\w\\W\\s\\S", {"1a_- x"}, {"aaa- x"});
  check_regex("[\\d\\s]", {"1", " "}, {"a"});
  check_regex("\\x41\\u00e9\\u{1F600}\\ud83d\\ude00", {"Aé😀😀"}, {"Aé😀"});
  check_regex("\\n\\t\\.\\\\\\/\\-", {"\n\t.\\/-"}, {});
  check_regex("[\\]\\-\\\\]", {"]", "-", "\\"}, {"a"});
  check_regex("é+", {"éé"}, {"\xc3"});
  check_regex("\\cA\\0", {std::string("\x01\0", 2)}, {});
}

TEST(Regex, RefusesWhatItDoesNotKnow) {
  const auto refuses = [](const std::string& pattern, ErrorCode code, const std::string& why) {
    SCOPED_TRACE(pattern);
    expect_error(code, {why}, [&] { compile_regex(pattern); });
  };
  refuses("a(?=b)", ErrorCode::kUnsupported, "look-ahead");
  refuses("(?<!b)a", ErrorCode::kUnsupported, "look-behind");
  refuses("(a)\\1", ErrorCode::kUnsupported, "reference");
  refuses("\\bword", ErrorCode::kUnsupported, "word boundary");
  refuses("\\p{L}", ErrorCode::kUnsupported, "\\p");
  refuses("a^b", ErrorCode::kUnsupported, "^");
  refuses("a$b", ErrorCode::kUnsupported, "$");
  refuses("(a$)b", ErrorCode::kUnsupported, "part");
  refuses("(?i)a", ErrorCode::kUnsupported, "group");
  refuses("a++", ErrorCode::kUnsupported, "possessive");
  refuses("(a", ErrorCode::kInvalidArgument, "not closed");
  refuses("a)", ErrorCode::kInvalidArgument, "byte 1");
  refuses("[a", ErrorCode::kInvalidArgument, "not closed");
  refuses("*a", ErrorCode::kInvalidArgument, "nothing to repeat");
  refuses("[z-a]", ErrorCode::kInvalidArgument, "after its last");
  refuses("[\\d-z]", ErrorCode::kInvalidArgument, "class");
  refuses("a{3,2}", ErrorCode::kInvalidArgument, "larger");
  refuses("\\q", ErrorCode::kInvalidArgument, "escape");
  refuses("\\ud800", ErrorCode::kInvalidArgument, "no such character");
  refuses("\\ud83d\\u0041", ErrorCode::kInvalidArgument, "no such character");
  refuses("\\x4g", ErrorCode::kInvalidArgument, "hexadecimal");
  refuses("a\\", ErrorCode::kInvalidArgument, "too early");
  refuses("\xff", ErrorCode::kInvalidArgument, "UTF-8");
  refuses("[]", ErrorCode::kInvalidArgument, "no text");
}

TEST(Regex, HostileOnesCostAnErrorOrLittle) {
  expect_error(ErrorCode::kInvalidArgument, {"too large"},
               [] { compile_regex("((a{900}){900}){900}"); });
  expect_error(ErrorCode::kInvalidArgument, {"20000"}, [] { compile_regex("a{999999999999}"); });
  expect_error(ErrorCode::kInvalidArgument, {"deep"},
               [] { compile_regex(std::string(5000, '(') + std::string(5000, ')')); });
  expect_error(ErrorCode::kInvalidArgument, {"bytes"},
               [] { compile_regex(std::string(1 << 20, 'a')); });
  expect_error(ErrorCode::kInvalidArgument, {"nested"}, [] {
    std::string often = "a";
    for (int i = 0; i < 40000; ++i) often += "{1}";
    compile_regex(often);
  });
  check_regex("a" + std::string(140000, '*'), {"", "aaa"}, {"b"});
  // Exponentially many ways through a text, or states of a deterministic automaton.
  check_regex("(a|a|aa)*b", {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"},
              {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"});
  check_regex("(a*)*b", {"aaaab", "b"}, {"aaaa"});
  check_regex("(x+x+)+y", {"xxxxxxxxxxxxxxxxxxxxxxxxy"}, {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"});
  check_regex("[ab]*a[ab]{20}", {"a" + std::string(20, 'b')}, {"b" + std::string(20, 'b')});
  check_regex("(a?){300}b", {"b", std::string(300, 'a') + "b"}, {std::string(301, 'a') + "b"});
}

RC_GTEST_PROP(CharSet, SequencesAreTheCharacters, ()) {
  CharSet set;
  for (const auto& [first, length] :
       *rc::gen::container<std::vector<std::pair<uint32_t, uint32_t>>>(rc::gen::pair(
           rc::gen::inRange<uint32_t>(0, 0x110000), rc::gen::inRange<uint32_t>(0, 0x3000)))) {
    set.add({first, first + length});
  }
  const CharSet outside = set.negated();
  const auto sequences = utf8_sequences(set);
  const auto c = static_cast<char32_t>(*rc::gen::inRange<uint32_t>(0, 0x110000));
  const bool is_surrogate = c >= 0xD800 && c <= 0xDFFF;
  RC_ASSERT(is_surrogate || set.contains(c) != outside.contains(c));
  RC_ASSERT(!is_surrogate || (!set.contains(c) && !outside.contains(c)));
  if (is_surrogate) return;
  std::string bytes;
  append_utf8(c, bytes);
  int n_found = 0;
  for (const auto& sequence : sequences) {
    bool fits = sequence.size() == bytes.size();
    for (size_t i = 0; fits && i < bytes.size(); ++i) {
      const auto byte = static_cast<uint8_t>(bytes[i]);
      fits = sequence[i].first <= byte && byte <= sequence[i].last;
    }
    n_found += fits ? 1 : 0;
  }
  RC_ASSERT(n_found == (set.contains(c) ? 1 : 0));
}

}  // namespace
}  // namespace tq
