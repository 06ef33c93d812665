#include "session/grammars.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "session/thinking_budget.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"
#include "unit/grammar/grammar_testing.h"

namespace tq {
namespace {

using fixtures::expect_error;
using fixtures::ListTokenizer;
using ::testing::Contains;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

// "<|open|>" and the like are special.
struct Answers : testing::Test {
  std::shared_ptr<const ListTokenizer> tokenizer = std::make_shared<const ListTokenizer>(
      std::vector<std::string>{"a", "b", "<think>", "</think>", "\n", "<", "/", "think", ">", ">a",
                               "<|end|>", "c", "</think>a"});
  Grammars grammars{tokenizer, {11}};
  ReasoningTags tags = {"<think>", "", "</think>", false};

  std::shared_ptr<Constraint> constrain(const std::string& prompt) {
    return grammars.constrain(grammars.get(regex_source("ab+")), ReasoningParser(tags, prompt));
  }
  std::vector<std::string> allowed(Constraint& constraint) const {
    std::vector<uint32_t> bits(1);
    constraint.fill_mask(bits);
    std::vector<std::string> found;
    for (int32_t id = 0; id < tokenizer->vocab_size(); ++id) {
      if (bits[0] >> id & 1) found.push_back(tokenizer->token_bytes(id));
    }
    return found;
  }
  void accept(Constraint& constraint, const std::string& token) const {
    constraint.accept(*tokenizer->token_id(token));
  }
};

TEST_F(Answers, WithoutReasoning) {
  const auto constraint = grammars.constrain(grammars.get(regex_source("ab+")), std::nullopt);
  EXPECT_THAT(allowed(*constraint), UnorderedElementsAre("a"));
  EXPECT_FALSE(constraint->may_end());
  accept(*constraint, "a");
  accept(*constraint, "b");
  EXPECT_TRUE(constraint->may_end());
  EXPECT_FALSE(constraint->must_end());
  expect_error(ErrorCode::kInvalidArgument, {"token 0"}, [&] { accept(*constraint, "a"); });
}

TEST_F(Answers, TheGrammarBeginsAfterTheReasoning) {
  const auto constraint = constrain("question<think>\n");
  EXPECT_FALSE(constraint->may_end());
  // A tag that ends in the middle of a token would begin the answer without the grammar.
  EXPECT_THAT(allowed(*constraint), Not(Contains("</think>a")));
  EXPECT_THAT(allowed(*constraint), Contains(">a"));
  for (const char* token : {"b", "<|end|>", "c", "<", "/", "think"}) accept(*constraint, token);
  EXPECT_THAT(allowed(*constraint), Not(Contains(">a")));
  EXPECT_THAT(allowed(*constraint), Contains(">"));
  accept(*constraint, ">");  // the tag in pieces is the tag
  EXPECT_THAT(allowed(*constraint), UnorderedElementsAre("a"));
  const auto other = constrain("question<think>\n");
  accept(*other, "</think>");
  EXPECT_THAT(allowed(*other), UnorderedElementsAre("a"));
  accept(*other, "a");
  accept(*other, "b");
  EXPECT_TRUE(other->may_end());
}

TEST_F(Answers, TheModelMayOpenItsReasoning) {
  const auto constraint = constrain("question");
  EXPECT_THAT(allowed(*constraint), UnorderedElementsAre("a", "<think>"));
  accept(*constraint, "<think>");
  EXPECT_FALSE(constraint->may_end());
  accept(*constraint, "c");
  accept(*constraint, "</think>");
  EXPECT_THAT(allowed(*constraint), UnorderedElementsAre("a"));
  const auto direct = constrain("question");
  accept(*direct, "a");
  EXPECT_THAT(allowed(*direct), UnorderedElementsAre("b"));
  // Not where the prompt says that there is none.
  EXPECT_THAT(allowed(*constrain("question<think>\n\n</think>\n\n")), UnorderedElementsAre("a"));
}

TEST_F(Answers, ReasoningIsClosedWhenItsTokensAreSpent) {
  const auto budget =
      limit_thinking(2, ReasoningParser(tags, "question<think>"), tokenizer, nullptr);
  EXPECT_TRUE(budget->is_open());
  accept(*budget, "a");
  EXPECT_TRUE(budget->is_open());
  EXPECT_TRUE(budget->may_end());
  accept(*budget, "b");
  EXPECT_FALSE(budget->is_open());
  EXPECT_FALSE(budget->may_end() || budget->must_end());
  EXPECT_THAT(allowed(*budget), UnorderedElementsAre("</think>"));
  accept(*budget, "</think>");
  EXPECT_TRUE(budget->is_open());
  for (int i = 0; i < 5; ++i) accept(*budget, "<think>");  // which is text now
  EXPECT_TRUE(budget->is_open());
}

TEST_F(Answers, ABudgetCountsFromTheOpeningTag) {
  const auto budget = limit_thinking(1, ReasoningParser(tags, "question"), tokenizer, nullptr);
  accept(*budget, "<think>");
  EXPECT_TRUE(budget->is_open());
  accept(*budget, "a");
  EXPECT_THAT(allowed(*budget), UnorderedElementsAre("</think>"));
  const auto none = limit_thinking(0, ReasoningParser(tags, "question<think>"), tokenizer, nullptr);
  EXPECT_THAT(allowed(*none), UnorderedElementsAre("</think>"));
  const auto closed =
      limit_thinking(2, ReasoningParser(tags, "question<think>"), tokenizer, nullptr);
  accept(*closed, "</think>");
  for (int i = 0; i < 5; ++i) accept(*closed, "a");
  EXPECT_TRUE(closed->is_open()) << "an answer has no limit";
  expect_error(ErrorCode::kInvalidArgument, {"reasoning"},
               [&] { limit_thinking(1, std::nullopt, tokenizer, nullptr); });
}

// As where an answer goes on that was cut in its reasoning, with less left than it had.
TEST_F(Answers, ABudgetClosesWhatWasBegunWithoutIt) {
  const auto budget =
      limit_thinking(1, ReasoningParser(tags, "question<think>"), tokenizer, nullptr);
  for (int i = 0; i < 3; ++i) accept(*budget, "a");
  EXPECT_THAT(allowed(*budget), UnorderedElementsAre("</think>"));
  accept(*budget, "</think>");
  EXPECT_TRUE(budget->is_open());
}

TEST_F(Answers, ABudgetGoesWithAGrammar) {
  const auto budget = limit_thinking(1, ReasoningParser(tags, "question<think>"), tokenizer,
                                     constrain("question<think>"));
  EXPECT_FALSE(budget->is_open() || budget->may_end());
  EXPECT_THAT(allowed(*budget), Contains("c"));
  accept(*budget, "c");
  EXPECT_THAT(allowed(*budget), UnorderedElementsAre("</think>"));
  accept(*budget, "</think>");
  EXPECT_THAT(allowed(*budget), UnorderedElementsAre("a"));
  accept(*budget, "a");
  accept(*budget, "b");
  EXPECT_TRUE(budget->may_end());
}

// Whose texts are a token a letter.
class LetterTokenizer : public ListTokenizer {
 public:
  using ListTokenizer::ListTokenizer;
  std::vector<int32_t> encode(std::string_view text, const EncodeTextOptions&) const override {
    std::vector<int32_t> ids;
    for (const char c : text) ids.push_back(*token_id(std::string(1, c)));
    return ids;
  }
};

// A model whose tag is no token of its own, and one that reopens its reasoning.
TEST_F(Answers, ABudgetWritesTagsInPieces) {
  const auto pieces =
      std::make_shared<const LetterTokenizer>(std::vector<std::string>{"a", "<", "/", "t", ">"});
  const auto accept_all = [&](Constraint& constraint, const std::string& text) {
    for (const char c : text) constraint.accept(*pieces->token_id(std::string(1, c)));
  };
  const ReasoningTags in_pieces = {"<t>", "", "</t>", true};
  const auto budget = limit_thinking(4, ReasoningParser(in_pieces, "a"), pieces, nullptr);
  accept_all(*budget, "<t>aaa");
  EXPECT_TRUE(budget->is_open());
  accept_all(*budget, "a");
  for (const char c : std::string("</t>")) {
    std::vector<uint32_t> bits(1);
    ASSERT_FALSE(budget->is_open());
    budget->fill_mask(bits);
    EXPECT_EQ(bits[0], 1U << *pieces->token_id(std::string(1, c)));
    accept_all(*budget, std::string(1, c));
  }
  EXPECT_TRUE(budget->is_open());
  accept_all(*budget, "aa<t>");
  EXPECT_FALSE(budget->is_open()) << "nothing is left to reason with";
}

TEST_F(Answers, GrammarsAreRemembered) {
  const auto first = grammars.get(regex_source("a"));
  EXPECT_EQ(grammars.get(regex_source("a")), first);
  EXPECT_NE(grammars.get(gbnf_source("root ::= \"a\"")), first);
  for (int i = 0; i < 40; ++i) grammars.get(regex_source("a{" + std::to_string(i + 1) + "}"));
  EXPECT_NE(grammars.get(regex_source("a")), first);
}

TEST(GrammarOptions, FilesAndTexts) {
  const fixtures::TempDir dir;
  const std::string file = (dir / "g").string();
  const auto matches = [](const GrammarOptions& options, const std::string& text) {
    return options.source()->compile()->matches(text);
  };
  fixtures::write_bytes(file, "root ::= \"x\"");
  EXPECT_TRUE(matches({.grammar = file}, "x"));
  EXPECT_TRUE(matches({.grammar = "root ::= \"y\""}, "y"));
  fixtures::write_bytes(file, R"({"type":"null"})");
  EXPECT_TRUE(matches({.json_schema = file}, "null"));
  EXPECT_TRUE(matches({.json_schema = R"({"const":1})"}, "1"));
  EXPECT_TRUE(matches({.regex = "a|b"}, "b"));
  EXPECT_FALSE(GrammarOptions{}.source().has_value());
  expect_error(ErrorCode::kInvalidArgument, {"--regex"},
               [] { (void)GrammarOptions{.grammar = "root ::= \"y\"", .regex = "a"}.source(); });
  expect_error(ErrorCode::kNotFound, {"/nowhere/schema"},
               [] { (void)GrammarOptions{.json_schema = "/nowhere/schema"}.source(); });
  expect_error(ErrorCode::kCorrupt, {"--json-schema"},
               [] { (void)GrammarOptions{.json_schema = "{"}.source(); });
}

}  // namespace
}  // namespace tq
