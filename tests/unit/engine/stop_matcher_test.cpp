#include "engine/stop_matcher.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace tq {
namespace {

std::string run(const std::vector<std::string>& stops, const std::vector<std::string>& pieces) {
  StopMatcher matcher(stops);
  std::string out;
  for (const std::string& piece : pieces) out += matcher.push(piece);
  if (!matcher.matched()) out += matcher.finish();
  return out + (matcher.matched() ? "|" : "");
}

TEST(StopMatcher, PassesTextThroughWithoutStops) { EXPECT_EQ(run({}, {"ab", "", "c"}), "abc"); }

TEST(StopMatcher, FindsAStopAcrossPieces) {
  EXPECT_EQ(run({"END"}, {"textE", "N", "Dmore", "again"}), "text|");
}

TEST(StopMatcher, HoldsBackWhatMayBecomeAStop) {
  StopMatcher matcher({"\n\nUser"});
  EXPECT_EQ(matcher.push("hi\n"), "hi");
  EXPECT_EQ(matcher.push("\nU"), "");
  EXPECT_EQ(matcher.push("n"), "\n\nUn");
  EXPECT_EQ(matcher.push("\n"), "");
  EXPECT_EQ(matcher.finish(), "\n");
  EXPECT_FALSE(matcher.matched());
  EXPECT_EQ(matcher.matched_text(), "");
}

TEST(StopMatcher, SelfOverlappingStop) { EXPECT_EQ(run({"aab"}, {"a", "a", "a", "b"}), "a|"); }

TEST(StopMatcher, FirstCompleteStopWinsAndOfTheseTheLongest) {
  EXPECT_EQ(run({"abcde", "bc"}, {"xabcde"}), "xa|");
  EXPECT_EQ(run({"cd", "abcd", "bcd"}, {"xabcd"}), "x|");
}

TEST(StopMatcher, NothingComesOutAfterAMatch) {
  StopMatcher matcher({"x"});
  EXPECT_EQ(matcher.push("ax"), "a");
  EXPECT_TRUE(matcher.matched());
  EXPECT_EQ(matcher.matched_text(), "x");
  EXPECT_EQ(matcher.push("b"), "");
  EXPECT_EQ(matcher.finish(), "");
}

// However a text is cut, the result is that of feeding it byte by byte.
TEST(StopMatcher, CutsDoNotMatter) {
  std::mt19937 random(7);
  const auto below = [&](size_t n) { return random() % n; };
  const auto word = [&](size_t n) {
    std::string text;
    while (text.size() < n) text += static_cast<char>('a' + below(2));
    return text;
  };
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::string> stops;
    while (stops.size() < 1 + below(3)) stops.push_back(word(1 + below(6)));
    const std::string text = word(below(30));
    std::vector<std::string> bytes;
    std::vector<std::string> pieces;
    for (const char c : text) {
      bytes.emplace_back(1, c);
      if (pieces.empty() || below(3) == 0) pieces.emplace_back();
      pieces.back() += c;
    }
    ASSERT_EQ(run(stops, pieces), run(stops, bytes)) << text;
    ASSERT_EQ(run(stops, {text}), run(stops, bytes)) << text;
  }
}

}  // namespace
}  // namespace tq
