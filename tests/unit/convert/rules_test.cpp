#include "convert/rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace tq {
namespace {

using ::testing::HasSubstr;

TEST(GlobMatch, CoversTheWholeText) {
  EXPECT_TRUE(glob_match("", ""));
  EXPECT_TRUE(glob_match("*", ""));
  EXPECT_TRUE(glob_match("*", "anything.at.all"));
  EXPECT_TRUE(glob_match("a?c", "abc"));
  EXPECT_TRUE(glob_match("*.down_proj.weight", "model.layers.3.mlp.down_proj.weight"));
  EXPECT_TRUE(glob_match("model.layers.?.*", "model.layers.3.mlp"));
  EXPECT_TRUE(glob_match("*a*b*", "xxaxxbxx"));
  EXPECT_TRUE(glob_match("*aab", "aaaab"));
  EXPECT_FALSE(glob_match("", "a"));
  EXPECT_FALSE(glob_match("a?c", "ac"));
  EXPECT_FALSE(glob_match("*.down_proj", "model.down_proj.weight"));
  EXPECT_FALSE(glob_match("model.layers.?.*", "model.layers.13.mlp"));
  EXPECT_FALSE(glob_match("abc", "abcd"));
  EXPECT_FALSE(glob_match("[a]", "a"));  // no character classes: names hold brackets rarely
}

TEST(GlobMatch, ManyStarsStayQuick) {
  const std::string text(2000, 'a');
  EXPECT_FALSE(glob_match("*a*a*a*a*a*a*a*a*a*a*a*a*b", text));
}

TEST(Rules, FirstMatchWins) {
  const auto rules = parse_rules(parse_json(R"([{"match": "*.q_proj.*", "format": "keep"},
                                                {"match": "*", "format": "tq3"}])",
                                            "test"),
                                 "test");
  ASSERT_EQ(rules.size(), 2u);
  EXPECT_EQ(first_match(rules, "a.q_proj.weight"), &rules[0]);
  EXPECT_EQ(first_match(rules, "a.k_proj.weight"), &rules[1]);
  EXPECT_EQ(first_match({}, "a"), nullptr);
}

std::string error_of(const char* text) {
  try {
    parse_rules(parse_json(text, "rules.json"), "rules.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  return "accepted";
}

TEST(Rules, RefusesWhatItWouldMisread) {
  EXPECT_THAT(error_of(R"({"match": "*", "format": "tq3"})"), HasSubstr("rules are a list"));
  EXPECT_THAT(error_of(R"(["*"])"), HasSubstr("rule 1"));
  EXPECT_THAT(error_of(R"([{"match": "*"}])"), HasSubstr("needs exactly"));
  EXPECT_THAT(error_of(R"([{"match": "*", "format": 3}])"), HasSubstr("needs exactly"));
  EXPECT_THAT(error_of(R"([{"match": "*", "format": "tq3", "group": 64}])"),
              HasSubstr("needs exactly"));
  EXPECT_THAT(error_of(R"([{"match": "", "format": "tq3"}])"), HasSubstr("empty"));
  EXPECT_THAT(error_of(R"([{"match": "*", "format": "tq3"}, {"match": "*", "format": "q4_0"}])"),
              AllOf(HasSubstr("rule 2"), HasSubstr("q4_0"), HasSubstr("tq2 tq3")));
}

TEST(Rules, MissingFileIsNotFound) {
  try {
    read_rules("/nonexistent/rules.json");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  }
}

}  // namespace
}  // namespace tq
