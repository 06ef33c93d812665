// The hand-written scanners against PCRE2 running the regexes they stand for.
#include "text/word_scanner.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "text/split_pattern.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace tq {
namespace {

constexpr const char* kTail = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kLetters = R"(|[^\r\n\p{L}\p{N}]?\p{L}+|)";

std::string random_text(std::mt19937& rng) {
  static const std::vector<std::string> kPieces = {
      " ",      " ",      "  ",     "\n",   "\r\n",   "\t",           "\u00a0",     "\u3000",
      "'",      "'s",     "'S",     "'re",  "'VE",    "'ll",          "'\u017f",    "'m",
      "'d",     "'T",     "a",      "Bc",   "\u00e9", "\u4f60\u597d", "1",          "23",
      "\u0664", "\u2167", ".",      "!?",   "\u2026", "\u0301",       "\U0001F600", "\u200d",
      "_",      "$",      "\u2028", "\x0b", "\u0085"};
  std::string text;
  for (size_t n = rng() % 14; n > 0; --n) text += kPieces[rng() % kPieces.size()];
  return text;
}

class WordScanner : public testing::TestWithParam<std::string> {};

TEST_P(WordScanner, SplitsAsTheRegexDoes) {
  const SplitPattern scanned = SplitPattern::regex(GetParam());
  ASSERT_TRUE(scanned.is_scanned());
  const SplitPattern regex = SplitPattern::regex("(?:" + GetParam() + ")");
  ASSERT_FALSE(regex.is_scanned());
  std::mt19937 rng(1);
  for (int i = 0; i < 3000; ++i) {
    const std::string text = random_text(rng);
    std::vector<Span> ours;
    std::vector<Span> theirs;
    TextBudget budget(text.size());
    scanned.find(text, ours, budget);
    regex.find(text, theirs, budget);
    ASSERT_EQ(ours.size(), theirs.size()) << text;
    for (size_t k = 0; k < ours.size(); ++k) {
      ASSERT_EQ(ours[k].begin, theirs[k].begin) << text;
      ASSERT_EQ(ours[k].end, theirs[k].end) << text;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, WordScanner,
    testing::Values(std::string(kGpt2Pattern),
                    std::string(R"((?i:'s|'t|'re|'ve|'m|'ll|'d))") + kLetters + R"(\p{N})" + kTail,
                    std::string(R"((?i:'s|'t|'re|'ve|'m|'ll|'d))") + kLetters + R"(\p{N}{1,3})" +
                        kTail,
                    std::string(R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]))") +
                        kLetters + R"(\p{N}{1,3})" + kTail));

TEST(CharClasses, KnowCharactersNewerThanTheLibrary) {
  EXPECT_EQ(char_class(0x2EBF0), CharClass::kLetter);  // Unicode 15.1
  EXPECT_EQ(char_class(0x1C89), CharClass::kLetter);   // Unicode 16
  EXPECT_EQ(char_class(0x1CCF0), CharClass::kNumber);  // Unicode 16
  EXPECT_EQ(char_class(0x11DE0), CharClass::kOther);   // Unicode 17 ...
  EXPECT_TRUE(is_numeric(0x11DE0));                    // ... which Rust has
  EXPECT_EQ(char_class(0x180E), CharClass::kOther);    // a format character, no space
  EXPECT_EQ(char_class(0x85), CharClass::kSpace);
  EXPECT_TRUE(is_word_char('_'));
  EXPECT_TRUE(is_word_char(0x0301));
  EXPECT_FALSE(is_word_char('-'));
}

TEST(Utf8, RoundTripsEveryCodePoint) {
  for (char32_t c = 0; c < 0x110000; c += c < 0x3000 ? 1 : 97) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text = "x";
    append_utf8(c, text);
    ASSERT_TRUE(is_valid_utf8(text));
    EXPECT_EQ(utf8_at(text, 1).code_point, c);
    EXPECT_EQ(utf8_last(text).code_point, c);
    EXPECT_EQ(replace_invalid_utf8(text), text);
  }
}

}  // namespace
}  // namespace tq
