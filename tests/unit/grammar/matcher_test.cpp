#include "grammar/matcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "base/error.h"
#include "grammar/builder.h"
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

// What a rule is followed by is looked at where that is known, however much it may be.
TEST(GrammarMatcher, LongListsGoOn) {
  const auto tokenizer = ListTokenizer::bytes_and({"a,b", ",,"});
  GrammarMatcher matcher(over(
      compile_gbnf("root ::= (item \",\"){5000}\nitem ::= [a-z]+ | \"(\" item \")\""), tokenizer));
  ASSERT_TRUE(matcher.accept_text("a,(a"));
  EXPECT_THAT(allowed(matcher, *tokenizer), ::testing::IsSupersetOf({"a", ")"}));
  EXPECT_THAT(allowed(matcher, *tokenizer), ::testing::Not(::testing::Contains("a,b")));
  ASSERT_TRUE(matcher.accept_text(")"));
  EXPECT_THAT(allowed(matcher, *tokenizer), UnorderedElementsAre(","));
  ASSERT_TRUE(matcher.accept_text(","));
  EXPECT_THAT(allowed(matcher, *tokenizer), ::testing::IsSupersetOf({"a", "(", "a,b"}));
}

// They are told before a server takes the request, or cost it no more than an error.
TEST(GrammarMatcher, HostileGrammarsAreErrors) {
  const auto tokenizer = ListTokenizer::bytes_and({});
  std::string text = "root ::= a0";
  std::string rules;
  for (int i = 1; i < 5000; ++i) text += "|a" + std::to_string(i);
  for (int i = 0; i < 5000; ++i) rules += "\na" + std::to_string(i) + " ::= \"x\"";
  EXPECT_THROW((void)over(compile_gbnf(text + rules), tokenizer), Error);
}

// For every token: its bit says whether it may come.
void check_mask(const GrammarMatcher& matcher, const Tokenizer& tokenizer) {
  GrammarMatcher copy = matcher;
  std::vector<uint32_t> bits((static_cast<size_t>(tokenizer.vocab_size()) + 31) / 32);
  copy.fill_mask(bits);
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    GrammarMatcher next = matcher;
    const bool bit = bits[static_cast<size_t>(id) / 32] >> (id % 32) & 1;
    ASSERT_EQ(bit, next.accept(id)) << "token " << tokenizer.token_bytes(id);
  }
}

// Random walks over random tokens, some of them long, through grammars of every kind.
TEST(GrammarMatcher, MasksAreWhatIsAccepted) {
  const std::vector<GrammarPtr> grammars = {
      compile_regex("(ab|c){0,200}x"),
      compile_regex("a{60,90}(b|aaaac)?"),
      compile_regex("([ab]{3}c){2,40}"),
      compile_regex("a{40,}b"),
      compile_gbnf("root ::= \"a\" root \"b\" | \"c\" | ws\nws ::= \"\" | \" \" ws"),
      compile_gbnf(
          "root ::= item (\",\" item)*\nitem ::= [abc]+ | \"(\" root \")\" | \"[\" item \"]\""),
      compile_json_object(),
      compile_json_schema(parse_json(R"({"type":"object","properties":{"a":{"type":"string",
          "maxLength":50},"b":{"type":"array","items":{"type":"array","items":{"type":"integer",
          "maximum":120}},"minItems":1,"maxItems":45},"c":{"enum":["a","ab",1]}},
          "required":["b"]})",
                                     "schema"))};
  std::mt19937 random(7);
  const auto below = [&](size_t n) { return random() % n; };
  for (int round = 0; round < 6; ++round) {
    std::vector<std::string> others = {"<|end|>", "",   "\":", "\",", "\"}",
                                       "{\"",     "]]", "],[", "1,"};
    const std::string alphabet = "aaabbc{}[]\",:1 (),x";
    for (int i = 0; i < 400; ++i) {
      std::string token;
      const size_t n = below(10) == 0 ? 30 + below(20) : 1 + below(5);
      const bool same = below(3) == 0;
      for (size_t k = 0; k < n; ++k) token += same ? 'a' : alphabet[below(alphabet.size())];
      others.push_back(token);
    }
    const auto tokenizer = ListTokenizer::bytes_and(others);
    for (const GrammarPtr& grammar : grammars) {
      const auto tokens = over(grammar, tokenizer);
      for (int answer = 0; answer < 3; ++answer) {
        GrammarMatcher matcher(tokens);
        std::string text;
        for (int step = 0; step < 25; ++step) {
          ASSERT_NO_FATAL_FAILURE(check_mask(matcher, *tokenizer)) << text;
          ASSERT_EQ(matcher.is_complete(), grammar->matches(text)) << text;
          std::vector<int32_t> ids;
          for (int32_t id = 0; id < tokenizer->vocab_size(); ++id) {
            GrammarMatcher next = matcher;
            if (next.accept(id)) ids.push_back(id);
          }
          ASSERT_EQ(matcher.can_go_on(), !ids.empty()) << text;
          if (ids.empty()) break;
          const int32_t id = ids[below(ids.size())];
          ASSERT_TRUE(matcher.accept(id));
          text += tokenizer->token_bytes(id);
        }
      }
    }
  }
}

TEST(GrammarMatcher, SpecialTokensAreNoText) {
  const auto tokenizer = std::make_shared<const ListTokenizer>(
      std::vector<std::string>{"<", "|", "<|call|>", "call", ">", "x"});
  GrammarMatcher any(over(compile_regex("[^y]*"), tokenizer));
  EXPECT_THAT(allowed(any, *tokenizer), UnorderedElementsAre("<", "|", "call", ">", "x"));
  EXPECT_FALSE(any.accept(2));
  GrammarBuilder b;
  GrammarMatcher call(over(b.compile(b.sequence({b.token(2), b.text("x")})), tokenizer));
  EXPECT_THAT(allowed(call, *tokenizer), ElementsAre("<|call|>"));
  EXPECT_TRUE(call.accept(2));
  EXPECT_THAT(allowed(call, *tokenizer), ElementsAre("x"));
}

TEST(GrammarMatcher, ExcludedTokensAreNotAllowed) {
  const ListTokenizer tokenizer(std::vector<std::string>{"a", "b", "ab"});
  const std::vector<int32_t> excluded = {0, 7, -1};
  GrammarMatcher matcher(std::make_shared<TokenGrammar>(
      compile_regex("[ab]*"), std::make_shared<const Vocabulary>(tokenizer, excluded)));
  EXPECT_THAT(allowed(matcher, tokenizer), UnorderedElementsAre("b", "ab"));
  EXPECT_FALSE(matcher.accept(0));
}

TEST(GrammarMatcher, MasksOfFewerTokensThanTheVocabulary) {
  const auto tokenizer = ListTokenizer::bytes_and({"aa"});
  GrammarMatcher matcher(over(compile_regex("a*"), tokenizer));
  std::vector<uint32_t> bits(4, ~0u);
  matcher.fill_mask(bits);
  EXPECT_THAT(bits, ElementsAre(0u, 0u, 0u, 2u));  // "a" is 97
}

// What is remembered is forgotten when it is too much; answers under way go on.
TEST(GrammarMatcher, OutlivesWhatIsForgotten) {
  std::vector<std::string> others;
  for (int i = 0; i < 3000; ++i) others.push_back("k" + std::to_string(i));
  const auto tokenizer = ListTokenizer::bytes_and(others);
  const auto tokens =
      over(compile_gbnf("root ::= \"[\" root \"]\" | \"(\" root \")\" | \"k\" [0-9]*"), tokenizer);
  GrammarMatcher old(tokens);
  ASSERT_TRUE(old.accept_text("[(["));
  std::mt19937 random(3);
  for (int answer = 0; answer < 400; ++answer) {  // ever other stacks
    GrammarMatcher matcher(tokens);
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(matcher.accept_text(random() % 2 ? "[" : "("));
    ASSERT_TRUE(matcher.accept_text("k1"));
    (void)allowed(matcher, *tokenizer);
  }
  EXPECT_THAT(allowed(old, *tokenizer), ::testing::SizeIs(3 + 3000));
  EXPECT_TRUE(old.accept_text("k5])]"));
  EXPECT_TRUE(old.is_complete());
  EXPECT_FALSE(old.can_go_on());
}

TEST(GrammarMatcher, StacksAreBounded) {
  const auto tokenizer = ListTokenizer::bytes_and({});
  GrammarMatcher matcher(over(compile_gbnf("root ::= \"[\" root \"]\" | \"x\""), tokenizer));
  size_t depth = 0;
  while (matcher.accept_text("[") && depth < 10000) ++depth;
  EXPECT_LE(depth, GrammarLimits::kStackDepth + 1);
  EXPECT_GE(depth, size_t{100});
}

}  // namespace
}  // namespace tq
