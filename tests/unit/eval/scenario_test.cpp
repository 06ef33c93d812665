#include "eval/scenario.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "eval/conversation.h"
#include "support/expect_error.h"
#include "unit/eval/scripted_model.h"

namespace tq {
namespace {

using fixtures::expect_error;
using fixtures::last_message;
using fixtures::ScriptedModel;
using ::testing::AnyOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::SizeIs;

constexpr const char* kScenario = R"({
  "schema": 1, "title": "A title", "language": "en", "system": "Be brief.",
  "turns": [
    {"user": "One?", "checks": [{"contains_any": ["uno"]}]},
    {"user": "Two?", "branches": [{"when": {"contains_any": ["uno"]}, "user": "Due?"}],
     "checks": [{"name": "two", "contains_any": ["due"]}, {"most_words": 3}]},
    {"user": "Three?"}
  ],
  "criteria": [{"name": "accuracy", "question": "Right?"}]
})";

TEST(Scenario, TwentyAreBuiltIn) {
  const std::vector<Scenario> all = built_in_scenarios();
  EXPECT_THAT(all, SizeIs(20));
  std::set<std::string> languages;
  for (const Scenario& scenario : all) {
    SCOPED_TRACE(scenario.id);
    languages.insert(scenario.language);
    EXPECT_THAT(scenario.turns, SizeIs(5));
    EXPECT_THAT(scenario.criteria, AnyOf(SizeIs(3), SizeIs(4), SizeIs(5)));
    EXPECT_FALSE(scenario.system.empty());
    for (const Turn& turn : scenario.turns) EXPECT_FALSE(turn.checks.empty());
  }
  EXPECT_THAT(languages, ElementsAre("en", "fi", "sv"));
}

TEST(Scenario, OnlySomeAreRun) {
  const auto ids = [](const std::vector<Scenario>& scenarios) {
    std::vector<std::string> out;
    for (const Scenario& scenario : scenarios) out.push_back(scenario.id);
    return out;
  };
  EXPECT_THAT(ids(pick_scenarios(built_in_scenarios(), {"humour", "debate"})),
              ElementsAre("humour", "debate"));
  expect_error(ErrorCode::kNotFound, {"humor", "humour, knowledge-depth"},
               [] { pick_scenarios(built_in_scenarios(), {"humor"}); });
}

TEST(Scenario, FaultsAreNamedWithTheirPlace) {
  const auto refused = [](const char* from, const char* to,
                          std::initializer_list<std::string> parts) {
    std::string text = kScenario;
    text.replace(text.find(from), std::string(from).size(), to);
    expect_error(ErrorCode::kCorrupt, parts, [&] { read_scenario(text, "id", "x.json"); });
  };
  refused(R"("title": "A title", )", "", {"x.json", "title"});
  refused(R"("language": "en")", R"("language": "xx")", {"x.json", "xx"});
  refused(R"("user": "Two?", )", "", {"x.json: turns[1]", "user"});
  refused(R"("user": "Three?")", R"("user": "Three?", "cheks": [])", {"turns[2]", "cheks"});
  refused(R"({"most_words": 3})", R"({"most": 3})", {"turns[1]: checks[1]", "most"});
  refused(R"("question": "Right?")", R"("question": "")", {"criteria[0]", "question"});
  refused(R"({"user": "One?", )",
          R"({"user": "One?", "branches": [{"when": {"absent": ["x"]}, "user": "y"}], )",
          {"turns[0]", "branches"});
  expect_error(ErrorCode::kUnsupported, {"x.json", "schema"},
               [] { read_scenario(R"({"title": "x"})", "id", "x.json"); });
}

TEST(Converse, LeadsThroughTurnsBranchesAndSeeds) {
  const std::vector<Scenario> scenarios{read_scenario(kScenario, "s", "s.json")};
  ScriptedModel model([](const ChatAsk& ask) {
    const std::string user = last_message(ask);
    if (user == "One?") return ChatAnswer{.text = ask.seed == 7 ? "UNO!" : "eins"};
    return ChatAnswer{.text = user == "Due?" ? "due" : "zwei, zwei, zwei, zwei"};
  });
  int64_t last = 0;
  const auto conversations =
      converse(model, scenarios, {.temperature = 0.5, .seeds = {7, 8}, .max_tokens = 9},
               [&](int64_t done, int64_t total) {
                 EXPECT_EQ(total, 6);
                 last = done;
               });
  EXPECT_EQ(last, 6);
  ASSERT_THAT(conversations, SizeIs(2));
  EXPECT_EQ(conversations[0].turns[1].user, "Due?");
  EXPECT_EQ(conversations[1].turns[1].user, "Two?");
  EXPECT_EQ(conversations[0].n_passed(), 3);
  EXPECT_EQ(conversations[1].n_passed(), 0);
  EXPECT_EQ(conversations[1].n_checks(), 3);
  for (const ChatAsk& ask : model.asked) {
    EXPECT_EQ(ask.max_tokens, 9);
    EXPECT_EQ(ask.temperature, 0.5);
    EXPECT_EQ(ask.messages[0]["role"], "system");
  }
  const Json& messages = model.asked.back().messages;
  ASSERT_THAT(messages, SizeIs(6));
  EXPECT_EQ(messages[2]["role"], "assistant");
  EXPECT_EQ(messages[2]["content"], "eins");
}

TEST(Converse, EndsAtAnAnswerThatFails) {
  const std::vector<Scenario> scenarios{read_scenario(kScenario, "s", "s.json")};
  ScriptedModel model([](const ChatAsk& ask) {
    if (last_message(ask) == "One?") return ChatAnswer{.text = "x"};
    return ChatAnswer{.fault = ChatFault::kFailed, .message = "no connection"};
  });
  int64_t last = 0;
  const auto conversations =
      converse(model, scenarios, {}, [&](int64_t done, int64_t /*total*/) { last = done; });
  EXPECT_EQ(last, 3);
  EXPECT_EQ(conversations[0].fault, "no connection");
  EXPECT_THAT(conversations[0].turns, SizeIs(1));
}

TEST(Converse, FewerTurns) {
  const std::vector<Scenario> scenarios{read_scenario(kScenario, "s", "s.json")};
  ScriptedModel model([](const ChatAsk& /*ask*/) { return ChatAnswer{.text = "x"}; });
  const auto conversations = converse(model, scenarios, {.max_turns = 2}, [](int64_t, int64_t) {});
  EXPECT_THAT(conversations[0].turns, SizeIs(2));
  EXPECT_EQ(conversations[0].fault, "");
}

}  // namespace
}  // namespace tq
