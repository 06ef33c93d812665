#include "server/structured.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/api_error.h"
#include "unit/server/served_toy.h"

namespace tq {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

std::optional<AskedGrammar> read_asked(const std::string& body) {
  return read_grammar(parse_json(body, "body"));
}

TEST(Structured, FieldsThatAskForAGrammar) {
  struct Case {
    const char* body;
    const char* field;
    const char* good;
    const char* bad;
  };
  for (const Case& one : {
           Case{R"({"response_format":{"type":"json_object"}})", "response_format", "{}", "1"},
           Case{R"({"response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,
                   "schema":{"type":"null"}}}})",
                "response_format", "null", "1"},
           Case{R"({"response_format":{"type":"json_object","schema":{"type":"null"}}})",
                "response_format", "null", "{}"},
           Case{R"({"guided_json":{"type":"null"}})", "guided_json", "null", "1"},
           Case{R"({"guided_json":"{\"type\":\"null\"}"})", "guided_json", "null", "1"},
           Case{R"({"guided_json_object":true})", "guided_json_object", "{}", "1"},
           Case{R"({"guided_regex":"a+"})", "guided_regex", "aa", "b"},
           Case{R"({"guided_choice":["a","b"]})", "guided_choice", "b", "c"},
           Case{R"({"guided_grammar":"root ::= \"x\""})", "guided_grammar", "x", "y"},
           Case{R"({"grammar":"root ::= \"x\"","guided_json":null})", "grammar", "x", "y"},
           Case{R"({"json_schema":{"const":1}})", "json_schema", "1", "2"},
           Case{R"({"structured_outputs":{"json":{"const":1}}})", "structured_outputs", "1", "2"},
           Case{R"({"structured_outputs":{"regex":"a"}})", "structured_outputs", "a", "b"},
           Case{R"({"structured_outputs":{"choice":["a"],"json":null,"disable_fallback":true}})",
                "structured_outputs", "a", "b"},
           Case{R"({"structured_outputs":{"grammar":"root ::= \"x\""}})", "structured_outputs", "x",
                "y"},
           Case{R"({"structured_outputs":{"json_object":true}})", "structured_outputs", "{}", "1"},
       }) {
    const auto asked = read_asked(one.body);
    ASSERT_TRUE(asked.has_value()) << one.body;
    EXPECT_EQ(asked->field, one.field);
    const GrammarPtr grammar = asked->source.compile();
    EXPECT_TRUE(grammar->matches(one.good)) << one.body;
    EXPECT_FALSE(grammar->matches(one.bad)) << one.body;
  }
  for (const char* body :
       {"{}", R"({"response_format":{"type":"text"}})", R"({"guided_json":null})",
        R"({"guided_json_object":false})", R"({"structured_outputs":{}})"}) {
    EXPECT_FALSE(read_asked(body).has_value()) << body;
  }
}

TEST(Structured, WhatIsRefused) {
  const auto refuses = [](const std::string& body, const std::string& param,
                          const std::string& why) {
    SCOPED_TRACE(body);
    try {
      read_asked(body);
      ADD_FAILURE() << "not refused";
    } catch (const ApiError& error) {
      EXPECT_EQ(error.status, 400);
      EXPECT_EQ(error.param, param);
      EXPECT_THAT(error.what(), HasSubstr(why));
    }
  };
  refuses(R"({"response_format":5})", "response_format", "5");
  refuses(R"({"response_format":{"type":"xml"}})", "response_format", "xml");
  refuses(R"({"response_format":{"type":"json_schema"}})", "response_format", "json_schema.schema");
  refuses(R"({"guided_json":5})", "guided_json", "5");
  refuses(R"({"guided_json":"{"})", "guided_json", "guided_json");
  refuses(R"({"guided_regex":["a"]})", "guided_regex", "not a string");
  refuses(R"({"guided_choice":[]})", "guided_choice", "1 to");
  refuses(R"({"guided_choice":[1]})", "guided_choice", "1");
  refuses(R"({"guided_regex":"a","guided_choice":["b"]})", "guided_choice", "guided_regex");
  refuses(R"({"structured_outputs":{"regex":"a","choice":["b"]}})", "structured_outputs.choice",
          "one of them");
  refuses(R"({"structured_outputs":{"structural_tag":"x"}})", "structured_outputs",
          "structural_tag");
  refuses(R"({"guided_whitespace_pattern":" ?"})", "guided_whitespace_pattern", "not supported");
}

TEST_F(ServedToy, AnswersAreHeldToAGrammar) {
  open();
  const auto client = post("/v1/completions",
                           R"({"prompt":"a","max_tokens":30,"guided_regex":"(ab)+-","temperature":2,
                              "n":3})");
  ASSERT_EQ(client->wait().status, 200);
  const Json answer = client->json();
  for (const Json& choice : answer.at("choices")) {
    EXPECT_THAT(choice.at("text").get<std::string>(), MatchesRegex("(ab)+-?"));
  }
  const auto chat = post("/v1/chat/completions",
                         R"({"messages":[{"role":"user","content":"a"}],
                            "guided_choice":["yes","no"]})");
  EXPECT_THAT(chat->json().at("choices")[0].at("message").at("content").get<std::string>(),
              MatchesRegex("yes|no"));
  EXPECT_EQ(chat->json().at("choices")[0].at("finish_reason"), "stop");
}

TEST_F(ServedToy, SchemasThatAreNotSupportedAreNamed) {
  open();
  const auto client = post("/v1/chat/completions", R"({"messages":[{"role":"user","content":"a"}],
      "response_format":{"type":"json_schema","json_schema":{"name":"x","schema":
      {"type":"object","properties":{"k":{"type":"array","uniqueItems":true}}}}}})");
  EXPECT_EQ(client->wait().status, 400);
  const Json error = client->json().at("error");
  EXPECT_EQ(error.at("param"), "response_format");
  EXPECT_EQ(error.at("code"), "unsupported_schema");
  EXPECT_THAT(error.at("message").get<std::string>(), HasSubstr("#/properties/k"));
  EXPECT_THAT(error.at("message").get<std::string>(), HasSubstr("uniqueItems"));
  const auto bad = post("/v1/completions", R"({"prompt":"a","guided_regex":"(a"})");
  EXPECT_EQ(bad->wait().status, 400);
  EXPECT_EQ(bad->json().at("error").at("code"), "invalid_schema");
}

}  // namespace
}  // namespace tq
