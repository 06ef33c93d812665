#include <gtest/gtest.h>

#include <cmath>

#include "base/json.h"
#include "server/anthropic.h"
#include "server/api_request.h"
#include "server/json_text.h"
#include "server/metrics.h"

namespace tq {
namespace {

TEST(JsonText, IsWhatWasMeant) {
  std::string all;
  for (int c = 1; c < 128; ++c) all += static_cast<char>(c);
  all += "\xc3\xa9\xf0\x9f\x98\x80";
  EXPECT_EQ(parse_json(json_string(all), "text").get<std::string>(), all);
  EXPECT_EQ(json_string("a\xff"
                        "b\xc3"),
            "\"a\xEF\xBF\xBD"
            "b\xEF\xBF\xBD\"");
}

TEST(JsonText, NumbersAreJson) {
  std::string out;
  for (const double value : {-0.25, 0.0, -1e-9, -HUGE_VAL, std::nan("")}) {
    out.clear();
    append_json_number(value, out);
    EXPECT_TRUE(parse_json(out, "number").is_number()) << out;
  }
  EXPECT_EQ(out, "-9999");
}

TEST(Histogram, ValuesFallUnderTheirBounds) {
  Histogram histogram({1, 2});
  for (const double value : {0.5, 1.0, 1.5, 7.0}) histogram.add(value);
  std::string out;
  histogram.write("h", "help", "a=\"b\"", out);
  EXPECT_EQ(out,
            "# HELP h help\n# TYPE h histogram\nh_bucket{a=\"b\",le=\"1\"} 2\n"
            "h_bucket{a=\"b\",le=\"2\"} 3\nh_bucket{a=\"b\",le=\"+Inf\"} 4\nh_sum{a=\"b\"} 10\n"
            "h_count{a=\"b\"} 4\n");
}

TEST(Messages, AreWhatTemplatesTake) {
  const Json read = read_messages(parse_json(R"([
    {"role":"developer","content":[{"type":"text","text":"be"},{"type":"input_text","text":"brief"}]},
    {"role":"assistant","content":null,"reasoning":"hm","tool_calls":[
      {"id":"1","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}},
      {"id":"2","type":"function","function":{"name":"g","arguments":"no json"}}]},
    {"role":"tool","tool_call_id":"1","content":"42"},
    {"role":"assistant","content":"a","tool_calls":[]}])",
                                             "messages"));
  EXPECT_EQ(read[0]["role"], "system");
  EXPECT_EQ(read[0]["content"], "be\nbrief");
  EXPECT_EQ(read[1]["reasoning_content"], "hm");
  EXPECT_EQ(read[1]["tool_calls"][0]["function"]["arguments"]["x"], 1);
  EXPECT_EQ(read[1]["tool_calls"][1]["function"]["arguments"], "no json");
  EXPECT_EQ(read[2]["content"], "42");
  EXPECT_FALSE(read[3].contains("tool_calls"));
}

TEST(AnthropicBody, IsTheChatThatItMeans) {
  const Json chat = chat_body_of(parse_json(R"({"model":"m","max_tokens":9,"system":[
      {"type":"text","text":"be"},{"type":"text","text":"brief"}],"stop_sequences":["x"],
    "thinking":{"type":"enabled","budget_tokens":99},"tool_choice":{"type":"auto"},
    "tools":[{"name":"f","description":"d","input_schema":{"type":"object"}}],"messages":[
      {"role":"user","content":"a"},
      {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},
        {"type":"text","text":"t"},{"type":"tool_use","id":"1","name":"f","input":{"x":1}}]},
      {"role":"user","content":[
        {"type":"tool_result","tool_use_id":"1","content":[{"type":"text","text":"r"}]},
        {"type":"text","text":"go on"}]}]})",
                                            "body"));
  EXPECT_EQ(chat["max_tokens"], 9);
  EXPECT_EQ(chat["stop"], Json::array({"x"}));
  EXPECT_EQ(chat["tool_choice"], "auto");
  EXPECT_EQ(chat["chat_template_kwargs"]["enable_thinking"], true);
  EXPECT_EQ(chat["tools"][0]["function"]["parameters"]["type"], "object");
  const Json& messages = chat["messages"];
  ASSERT_EQ(messages.size(), 5u);
  EXPECT_EQ(messages[0]["content"], "be\nbrief");
  EXPECT_EQ(messages[2]["reasoning_content"], "hm");
  EXPECT_EQ(messages[2]["tool_calls"][0]["function"]["arguments"]["x"], 1);
  EXPECT_EQ(messages[3]["role"], "tool");
  EXPECT_EQ(messages[3]["content"], "r");
  EXPECT_EQ(messages[4]["content"], "go on");
}

TEST(ApiRequest, TakesWhatClientsSend) {
  SamplingParams defaults;
  defaults.temperature = 0.5f;
  defaults.top_k = 20;
  const Json body = parse_json(R"({"messages":[{"role":"user","content":"a"}],"max_tokens":3,
    "max_completion_tokens":4,"top_p":0.5,"seed":-1,"stop":"x","stop_token_ids":[1,2],
    "logit_bias":{"5":-100},"reasoning_effort":"low","chat_template_kwargs":{"enable_thinking":false},
    "tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"none",
    "response_format":{"type":"text"},"stream_options":null,"logprobs":true})",
                               "body");
  const ApiRequest request = read_chat_request(body, defaults);
  EXPECT_EQ(request.max_tokens, 4);
  EXPECT_EQ(request.sampling.temperature, 0.5f);
  EXPECT_EQ(request.sampling.top_k, 20);
  EXPECT_EQ(request.sampling.top_p, 0.5f);
  EXPECT_EQ(request.sampling.seed, UINT64_MAX);
  EXPECT_EQ(request.sampling.stop, std::vector<std::string>{"x"});
  EXPECT_EQ(request.sampling.stop_ids, (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(request.sampling.logit_bias.at(5), -100);
  EXPECT_EQ(request.template_variables["reasoning_effort"], "low");
  EXPECT_EQ(request.template_variables["enable_thinking"], false);
  EXPECT_TRUE(request.tools.is_null());
  EXPECT_EQ(request.n_logprobs, 0);
}

}  // namespace
}  // namespace tq
