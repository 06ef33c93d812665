#include "base/nearest.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace tq {
namespace {

using Names = std::vector<std::string>;

// The distance by its recursive definition.
size_t by_definition(std::string_view a, std::string_view b) {
  if (a.empty() || b.empty()) return a.size() + b.size();
  const auto tail = [](std::string_view s) { return s.substr(0, s.size() - 1); };
  size_t best = std::min({by_definition(tail(a), b) + 1, by_definition(a, tail(b)) + 1,
                          by_definition(tail(a), tail(b)) + (a.back() == b.back() ? 0 : 1)});
  if (a.size() > 1 && b.size() > 1 && a.back() == b[b.size() - 2] && b.back() == a[a.size() - 2]) {
    best = std::min(best, by_definition(tail(tail(a)), tail(tail(b))) + 1);
  }
  return best;
}

TEST(EditDistance, IsThatOfTheDefinition) {
  const Names words = {"", "a", "ab", "ba", "abc", "acb", "bcda", "abab", "aabb", "cabd"};
  for (const std::string& a : words) {
    for (const std::string& b : words) {
      EXPECT_EQ(edit_distance(a, b), by_definition(a, b)) << a << " " << b;
    }
  }
}

TEST(EditDistance, CaseAndDashesDoNotCount) {
  EXPECT_EQ(edit_distance("--Top_K", "--top-k"), 0u);
  EXPECT_EQ(edit_distance("--tpo_k", "--top-k"), 1u);
}

TEST(NearestNames, OnlyTheNearest) {
  const Names commands = {"run", "chat", "convert", "eval", "bench", "inspect", "verify"};
  EXPECT_EQ(nearest_names("chatt", commands), Names{"chat"});
  EXPECT_EQ(nearest_names("covnert", commands), Names{"convert"});
  EXPECT_EQ(nearest_names("rnu", commands), Names{"run"});
  EXPECT_EQ(nearest_names("ins", commands), Names{"inspect"});
  EXPECT_EQ(nearest_names("frobnicate", commands), Names{});
  EXPECT_EQ(nearest_names("", commands), Names{});
  EXPECT_EQ(nearest_names("x", commands), Names{});
}

TEST(NearestNames, AtMostThreeAndEachOnce) {
  EXPECT_EQ(nearest_names("tq9", Names{"tq2", "tq3", "tq4", "tq5"}), (Names{"tq2", "tq3", "tq4"}));
  EXPECT_EQ(nearest_names("--temp", Names{"--temperature", "--temperature"}),
            Names{"--temperature"});
}

TEST(DidYouMean, IsAQuestionOrNothing) {
  EXPECT_EQ(did_you_mean("tq9", Names{"tq2", "tq3"}), "; did you mean tq2 or tq3?");
  EXPECT_EQ(did_you_mean("frobnicate", Names{"tq2"}), "");
}

TEST(NearestNames, HugeWordsCostNothing) {
  EXPECT_EQ(nearest_names(std::string(1 << 20, 'a'), Names{std::string(1 << 20, 'b')}), Names{});
}

}  // namespace
}  // namespace tq
