#include "server/tools/forced_calls.h"

#include <gtest/gtest.h>

#include "unit/server/spoken_toy.h"

namespace tq {
namespace {

const Json& forced_tools() {
  static const Json kTools = parse_json(R"([
    {"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{
      "text":{"type":"string"}, "n":{"type":"integer"}, "pick":{"enum":["a",2]}},
      "required":["text"],"additionalProperties":false}}},
    {"type":"function","function":{"name":"g"}}])",
                                        "tools");
  return kTools;
}

GrammarPtr grammar_of(const ToolFormat& format, const std::string& name, bool several) {
  return forced_calls_grammar({&format, forced_tools(), name, several},
                              std::make_shared<ToyTokenizer>())
      .source.compile();
}

// What the grammar of a format allows is what its parser reads, and nothing else is allowed.
void expect(const ToolFormat& format, const std::string& call, const std::string& arguments,
            std::initializer_list<const char*> bad) {
  const GrammarPtr named = grammar_of(format, "f", true);
  EXPECT_TRUE(named->matches(call)) << call;
  const auto parser = make_tool_parser(format, forced_tools());
  std::vector<ToolPiece> pieces = parser->push(call);
  for (ToolPiece& piece : parser->finish()) pieces.push_back(std::move(piece));
  std::erase_if(pieces, [](const ToolPiece& piece) { return piece.is_reasoning; });
  ASSERT_EQ(pieces.size(), 1u) << call;
  ASSERT_TRUE(pieces[0].call.has_value()) << call;
  EXPECT_EQ(pieces[0].call->name, "f");
  EXPECT_EQ(pieces[0].call->arguments, arguments);
  for (const char* text : bad) EXPECT_FALSE(named->matches(text)) << text;
  EXPECT_FALSE(named->matches(""));
  EXPECT_FALSE(named->matches("Certainly! " + call));
  EXPECT_FALSE(named->matches(call + call.substr(0, 3)));
  const std::string both = call + std::string(format.between_calls) + call;
  EXPECT_EQ(grammar_of(format, "", true)->matches(both), !format.one_call_an_answer);
  EXPECT_FALSE(grammar_of(format, "", false)->matches(both));
  EXPECT_FALSE(grammar_of(format, "g", true)->matches(call)) << "another tool's";
}

TEST(ForcedCalls, AreAsTheModelWritesThem) {
  expect(kHermesFormat,
         "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"text\": \"a\", \"n\": 1}}\n</tool_call>",
         R"({"text":"a","n":1})",
         {"<tool_call>\n{\"name\": \"f\", \"arguments\": {\"n\": 1}}\n</tool_call>"});
  expect(kLlamaFormat, R"({"name": "f", "parameters": {"text": "a"}})", R"({"text":"a"})",
         {R"({"name": "f", "parameters": {"text": 1}})"});
  expect(kMistralFormat, R"([TOOL_CALLS][{"name": "f", "arguments": {"text": "a"}}])",
         R"({"text":"a"})", {R"([TOOL_CALLS][])"});
  expect(kQwenXmlFormat,
         "<tool_call>\n<function=f>\n<parameter=text>\n<p>x</p></para\n</parameter>\n"
         "<parameter=pick>\n2\n</parameter>\n</function>\n</tool_call>",
         R"({"text":"<p>x</p></para","pick":2})",
         {"<tool_call>\n<function=f>\n</function>\n</tool_call>",
          "<tool_call>\n<function=f>\n<parameter=text>\na\n</parameter>\n<parameter=n>\nb"
          "\n</parameter>\n</function>\n</tool_call>"});
  expect(kGlmFormat,
         "<tool_call>f\n<arg_key>text</arg_key>\n<arg_value>a</arg></arg_value>\n<arg_key>n</"
         "arg_key>\n"
         "<arg_value>7</arg_value>\n</tool_call>",
         R"({"text":"a</arg>","n":7})", {"<tool_call>f\n</tool_call>"});
  expect(kGemmaFormat,
         "<|tool_call>call:f{text:<|\"|>a,}<|\"|>,n:-7,pick:<|\"|>a<|\"|>}<tool_call|>",
         R"({"text":"a,}","n":-7,"pick":"a"})",
         {"<|tool_call>call:f{}<tool_call|>", "<|tool_call>call:f{n:1}<tool_call|>",
          "<|tool_call>call:f{text:<|\"|>a<|\"|>,}<tool_call|>"});
  expect(kHarmonyFormat,
         "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary "
         "to=functions.f <|constrain|>json<|message|>{\"text\": \"a\"}",
         R"({"text":"a"})", {"<|channel|>final<|message|>no"});
}

TEST(ForcedCalls, AFormatMustBeKnown) {
  EXPECT_THROW(forced_calls_grammar({nullptr, forced_tools(), "", true}, nullptr), ApiError);
}

TEST(ForcedCalls, EveryFormatCanBeForced) {
  for (const ToolFormat* format : tool_formats()) {
    ASSERT_NE(format->write, nullptr) << format->name;
    EXPECT_NE(grammar_of(*format, "", true), nullptr);
  }
}

class ForcedToy : public ApiTools {
 protected:
  ForcedToy() {
    auto& spoken = static_cast<SpokenTokenizer&>(*tokenizer_).spoken;
    spoken[0] = "<tool_call>";
    spoken[1] = "\n{\"name\": \"f\", \"arguments\": ";
    spoken[2] = "{\"x\": ";
    spoken[3] = "1";
    spoken[4] = "}";
    spoken[5] = "}\n</tool_call>";
  }
  std::shared_ptr<Client> ask_for(const std::string& choice, const std::string& more = "") {
    return post(
        "/v1/chat/completions",
        R"({"messages":[{"role":"user","content":"z"}],"max_tokens":40,"temperature":2,)"
        R"("tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object",)"
        R"("properties":{"x":{"const":1}},"required":["x"],"additionalProperties":false}}}],)"
        R"("tool_choice":)" +
            choice + more + "}");
  }
};

TEST_F(ForcedToy, ToolChoiceForcesACall) {
  for (const char* choice : {R"({"type":"function","function":{"name":"f"}})", R"("required")"}) {
    for (int seed = 0; seed < 5; ++seed) {
      const Json json =
          ask_for(choice, R"(,"parallel_tool_calls":false,"seed":)" + std::to_string(seed))->json();
      const Json& chosen = json["choices"][0];
      EXPECT_EQ(chosen["finish_reason"], "tool_calls") << json.dump();
      ASSERT_EQ(chosen["message"]["tool_calls"].size(), 1u) << json.dump();
      EXPECT_EQ(chosen["message"]["tool_calls"][0]["function"]["arguments"], "{\"x\":1}");
      EXPECT_TRUE(chosen["message"]["content"].is_null());
    }
  }
}

TEST_F(ForcedToy, WhatCannotBeForcedIsNamed) {
  for (const auto& client :
       {ask_for(R"({"type":"function","function":{"name":"h"}})"), ask_for(R"("always")"),
        ask_for(R"("required")", R"(,"response_format":{"type":"json_object"})"),
        post("/v1/chat/completions",
             R"({"messages":[{"role":"user","content":"z"}],"tool_choice":"required"})")}) {
    EXPECT_EQ(client->wait().status, 400);
    EXPECT_EQ(client->json()["error"]["param"], "tool_choice");
  }
  const auto schema = post("/v1/chat/completions",
                           R"({"messages":[{"role":"user","content":"z"}],"tool_choice":"required",
      "tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object",
      "properties":{"k":{"type":"array","uniqueItems":true}}}}}]})");
  EXPECT_EQ(schema->wait().status, 400);
  EXPECT_EQ(schema->json()["error"]["code"], "unsupported_schema");
}

}  // namespace
}  // namespace tq
