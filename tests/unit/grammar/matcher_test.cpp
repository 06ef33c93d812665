#include "grammar/matcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/grammar/grammar_testing.h"

namespace tq {
namespace {

using fixtures::allowed;
using fixtures::ListTokenizer;
using fixtures::over;
using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

TEST(GrammarMatcher, AllowsTokensThatGoOn) {
  const auto tokenizer = std::make_shared<const ListTokenizer>(
      std::vector<std::string>{"a", "ab", "abc", "b", "c", "bc", "cd", "abcd", "<|end|>", "", "d"});
  GrammarMatcher matcher(over(compile_regex("ab(c|cde)"), tokenizer));
  EXPECT_THAT(allowed(matcher, *tokenizer), UnorderedElementsAre("a", "ab", "abc", "abcd"));
  EXPECT_FALSE(matcher.accept(3));
  EXPECT_TRUE(matcher.accept(1));
  EXPECT_THAT(allowed(matcher, *tokenizer), UnorderedElementsAre("c", "cd"));
  EXPECT_FALSE(matcher.is_complete());
  EXPECT_TRUE(matcher.accept(4));
  EXPECT_TRUE(matcher.is_complete());
  EXPECT_TRUE(matcher.can_go_on());
  EXPECT_THAT(allowed(matcher, *tokenizer), ElementsAre("d"));
  EXPECT_TRUE(matcher.accept(10));
  EXPECT_FALSE(matcher.is_complete());
  EXPECT_THAT(allowed(matcher, *tokenizer), ElementsAre());  // no token "e"
}

}  // namespace
}  // namespace tq
