#include "cli/word_wrap.h"

#include <gtest/gtest.h>

#include <sstream>

#include "text/utf8.h"

namespace tq {
namespace {

// The text in pieces of n bytes (cut at whole characters).
std::string wrapped(std::string_view text, int columns, size_t n) {
  WordWrap wrap(columns);
  std::string out;
  std::string pending;
  for (size_t pos = 0; pos < text.size(); pos += n) {
    pending += text.substr(pos, n);
    out += wrap.push(take_whole_utf8(pending));
  }
  return out + wrap.finish();
}

int width(std::string_view line) {
  int n = 0;
  for (size_t pos = 0; pos < line.size();) {
    const Utf8Char c = utf8_at(line, pos);
    n += display_width(c.code_point);
    pos += static_cast<size_t>(c.size_bytes);
  }
  return n;
}

// Every line fits, whatever the pieces are.
void expect_wrapped(std::string_view text, int columns, std::string_view expected) {
  for (const size_t n : {1, 2, 3, 7, 1000}) {
    EXPECT_EQ(wrapped(text, columns, n), expected) << "pieces of " << n;
  }
  std::istringstream lines{std::string(expected)};
  for (std::string line; std::getline(lines, line);) EXPECT_LT(width(line), columns) << line;
}

TEST(WordWrap, BreaksAtSpaces) {
  expect_wrapped("The quick brown fox jumps over the lazy dog.", 20,
                 "The quick brown fox\njumps over the lazy\ndog.");
  // The newline of the text counts, spaces at a break vanish, those at a line's beginning stay.
  expect_wrapped("one two\n  three four five six   seven\n\nend", 20,
                 "one two\n  three four five\nsix   seven\n\nend");
  expect_wrapped("  ", 20, "  ");
  expect_wrapped("", 20, "");
}

TEST(WordWrap, WideCharactersAreTwoColumns) {
  expect_wrapped("日本語の文章はどこでも改行できます。", 20,
                 "日本語の文章はどこ\nでも改行できます。");
  // No line begins with what closes, none ends with what opens.
  expect_wrapped("一二三四五六七八九。十", 20, "一二三四五六七八\n九。十");
  expect_wrapped("一二三四五六七（八九）", 20, "一二三四五六七（八\n九）");
  expect_wrapped("一二三四五六七八（九）", 20, "一二三四五六七八\n（九）");
  // Combining marks take no column: ten times e with an acute accent.
  std::string accents;
  for (int i = 0; i < 10; ++i) accents += "e\u0301";
  expect_wrapped(accents + " " + accents, 24, accents + " " + accents);
  expect_wrapped(accents + " " + accents, 21, accents + "\n" + accents);
}

TEST(WordWrap, WordsLongerThanALineAreLeftToTheTerminal) {
  const std::string url = "https://example.org/" + std::string(40, 'x');
  for (const size_t n : {1, 5, 100}) {
    EXPECT_EQ(wrapped("see " + url + " now", 20, n), "see\n" + url + " now") << n;
    EXPECT_EQ(wrapped(url, 20, n), url);
  }
  // The beginning of an endless word is not held back for ever.
  WordWrap wrap(20);
  EXPECT_EQ(wrap.push(std::string(10, 'x')), "");
  EXPECT_EQ(wrap.push(std::string(10, 'x')), std::string(20, 'x'));
  EXPECT_EQ(wrap.push("yy"), "yy");
}

TEST(WordWrap, CodeIsLeftAlone) {
  const std::string code =
      "```cpp\nint main() { return a_function(with, many, arguments); }\n```\n";
  for (const size_t n : {1, 3, 100}) {
    EXPECT_EQ(wrapped(code + "and words after it are wrapped", 20, n),
              code + "and words after it\nare wrapped");
  }
}

TEST(WordWrap, HoldsBackNoMoreThanAWord) {
  WordWrap wrap(40);
  EXPECT_EQ(wrap.push("Hello wor"), "Hello");
  EXPECT_EQ(wrap.push("ld "), " world");
  EXPECT_EQ(wrap.push("\n"), " \n");
  EXPECT_EQ(wrap.push("x"), "");
  EXPECT_EQ(wrap.finish(), "x");
  EXPECT_EQ(wrap.push("y z"), "y");
}

TEST(WordWrap, NoWidthNoBreaks) {
  for (const int columns : {0, 5}) {
    WordWrap wrap(columns);
    EXPECT_EQ(wrap.push("some words that"), "some words that");
    EXPECT_EQ(wrap.push(" are "), " are ");
  }
}

TEST(WithoutControls, TerminalsObeyNothing) {
  EXPECT_EQ(without_controls("a\tb\nc\r\nd"), "a\tb\nc\nd");
  EXPECT_EQ(without_controls("\x1b]0;title\x07"), "\uFFFD]0;title\uFFFD");
  EXPECT_EQ(without_controls("\u009b31m \u00e4\x7f"), "\uFFFD31m \u00e4\uFFFD");
}

}  // namespace
}  // namespace tq
