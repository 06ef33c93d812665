// Anthropic's messages and OpenAI's responses.
#include <gtest/gtest.h>

#include <algorithm>

#include "server/responses.h"
#include "unit/server/spoken_toy.h"

namespace tq {
namespace {

// The events of a stream: their data, which has their types, too.
std::vector<Json> events_of(const std::string& body) {
  std::vector<Json> events;
  for (size_t at = 0; at < body.size();) {
    const size_t end = body.find("\n\n", at);
    const size_t data = body.find("\ndata: ", at);
    EXPECT_EQ(body.substr(at, 7), "event: ");
    events.push_back(parse_json(body.substr(data + 7, end - data - 7), "event"));
    EXPECT_EQ(events.back()["type"], body.substr(at + 7, data - at - 7));
    at = end + 2;
  }
  return events;
}

TEST_F(ApiTools, AnthropicsMessagesAreTheSameChat) {
  const std::vector<std::string> said = {"I look. ", "<tool_call>{\"name\":\"f\",",
                                         "\"arguments\":{\"x\":1}}", "</tool_call>"};
  const std::string chat = let_say(said, "\"n\":1");
  const Json asked = parse_json(chat, "chat");
  Json body = {{"max_tokens", 4},
               {"messages", asked["messages"]},
               {"tools", {{{"name", "f"}, {"input_schema", Json::object()}}}}};
  const Json whole = post("/v1/messages", body.dump())->json();
  EXPECT_EQ(whole["type"], "message");
  EXPECT_EQ(whole["content"][0], (Json{{"type", "text"}, {"text", "I look."}}));
  EXPECT_EQ(whole["content"][1]["type"], "tool_use");
  EXPECT_EQ(whole["content"][1]["input"], (Json{{"x", 1}}));
  EXPECT_EQ(whole["stop_reason"], "max_tokens");
  EXPECT_EQ(whole["usage"]["input_tokens"], 2);
  EXPECT_EQ(whole["usage"]["output_tokens"], 4);

  body["stream"] = true;
  std::string types;
  std::string text;
  std::string input;
  for (const Json& event : events_of(post("/v1/messages", body.dump())->wait().body)) {
    const auto type = event["type"].get<std::string>();
    if (type != "content_block_delta") types += type + " ";
    if (type != "content_block_delta") continue;
    const Json& delta = event["delta"];
    if (event["index"] == 0) text += delta["text"].get<std::string>();
    if (event["index"] == 1) input += delta["partial_json"].get<std::string>();
  }
  EXPECT_EQ(text, "I look.");
  EXPECT_EQ(input, "{\"x\":1}");
  EXPECT_TRUE(
      types.starts_with("message_start content_block_start content_block_stop "
                        "content_block_start content_block_stop "))
      << types;
  EXPECT_TRUE(types.ends_with("content_block_stop message_delta message_stop ")) << types;
}

TEST_F(ApiTools, AnthropicsErrorsAndCounts) {
  for (const char* body :
       {R"({"messages":[{"role":"user","content":"a"}]})",
        R"({"max_tokens":3,"messages":[{"role":"user","content":[{"type":"image"}]}]})",
        R"({"max_tokens":3,"messages":[{"role":"user","content":"a"}],
            "tools":[{"name":"f"}],"tool_choice":{"type":"tool","name":"g"}})",
        R"({"max_tokens":4,"messages":[{"role":"user","content":"zz"}],"tools":[],
            "tool_choice":{"type":null}})",
        R"({"max_tokens":4,"messages":[{"role":"user","content":"zz"}],
            "tools":[{"name":"f","input_schema":[]}]})"}) {
    const auto client = post("/v1/messages", body);
    EXPECT_EQ(client->wait().status, 400) << body;
    EXPECT_EQ(client->json()["type"], "error");
    EXPECT_EQ(client->json()["error"]["type"], "invalid_request_error");
  }
  EXPECT_EQ(post("/v1/messages/count_tokens",
                 R"({"system":"ab","messages":[{"role":"user","content":"c"}]})")
                ->json()["input_tokens"],
            5);
}

TEST_F(ApiTools, AnthropicIsToldWhichTextStopped) {
  const std::string chat = let_say({"One. ", "STOP", "more"}, "\"n\":1");
  Json body = {{"max_tokens", 9},
               {"messages", parse_json(chat, "chat")["messages"]},
               {"stop_sequences", {"never", "STOP"}}};
  const Json whole = post("/v1/messages", body.dump())->json();
  EXPECT_EQ(whole["stop_reason"], "stop_sequence");
  EXPECT_EQ(whole["stop_sequence"], "STOP");
  EXPECT_EQ(whole["content"][0]["text"], "One. ");
  body["stream"] = true;
  const auto events = events_of(post("/v1/messages", body.dump())->wait().body);
  const Json& delta = events[events.size() - 2]["delta"];
  EXPECT_EQ(delta["stop_reason"], "stop_sequence");
  EXPECT_EQ(delta["stop_sequence"], "STOP");
  body["stop_sequences"] = {"never"};
  body["stream"] = false;
  EXPECT_EQ(post("/v1/messages", body.dump())->json()["stop_reason"], "max_tokens");
}

// Without what differs from answer to answer.
Json without_ids(Json output) {
  for (Json& item : output) {
    item.erase("id");
    item.erase("call_id");
  }
  return output;
}

TEST_F(ApiTools, ResponsesAreTheSameChat) {
  const std::string chat = let_say({"I look. ", "<tool_call>{\"name\":\"f\",",
                                    "\"arguments\":{\"x\":1}}</tool_call>", "Well", "!"},
                                   "\"n\":1");
  Json body = {{"input", parse_json(chat, "chat")["messages"]},
               {"max_output_tokens", 5},
               {"store", false},
               {"temperature", 0},
               {"tools", {{{"type", "function"}, {"name", "f"}, {"parameters", Json::object()}}}}};
  const Json whole = post("/v1/responses", body.dump())->json();
  EXPECT_EQ(whole["object"], "response");
  EXPECT_EQ(whole["status"], "incomplete");
  EXPECT_EQ(whole["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_EQ(whole["tools"], body["tools"]);
  EXPECT_EQ(whole["usage"]["input_tokens"], 2);
  EXPECT_EQ(whole["usage"]["output_tokens"], 5);
  const Json& output = whole["output"];
  ASSERT_EQ(output.size(), 3u);
  EXPECT_EQ(output[0]["content"][0]["text"], "I look.");
  EXPECT_EQ(output[1]["type"], "function_call");
  EXPECT_EQ(output[1]["arguments"], "{\"x\":1}");
  EXPECT_EQ(output[2]["content"][0]["text"], "Well!");
  EXPECT_EQ(output[2]["status"], "incomplete");

  body["stream"] = true;
  const auto events = events_of(post("/v1/responses", body.dump())->wait().body);
  std::vector<std::string> types;
  std::string text;
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i]["sequence_number"], i);
    const auto type = events[i]["type"].get<std::string>();
    if (types.empty() || types.back() != type) types.push_back(type.substr(sizeof "response." - 1));
    if (type == "response.output_text.delta") text += events[i]["delta"].get<std::string>();
  }
  EXPECT_EQ(text, "I look.Well!");
  const std::vector<std::string> message = {"output_item.added", "content_part.added",
                                            "output_text.delta", "output_text.done",
                                            "content_part.done", "output_item.done"};
  std::vector<std::string> wanted = {"created", "in_progress"};
  wanted.insert(wanted.end(), message.begin(), message.end());
  for (const char* type : {"output_item.added", "function_call_arguments.delta",
                           "function_call_arguments.done", "output_item.done"}) {
    wanted.push_back(type);
  }
  wanted.insert(wanted.end(), message.begin(), message.end());
  wanted.push_back("incomplete");
  types.erase(std::unique(types.begin(), types.end()), types.end());
  EXPECT_EQ(types, wanted);
  EXPECT_EQ(without_ids(events.back()["response"]["output"]), without_ids(output));
}

TEST_F(ApiTools, ResponsesAreWholeWhenTheyStop) {
  const std::string said = let_say({"Yes", "STOP"}, "\"n\":1");
  const Json body = {{"input", parse_json(said, "chat")["messages"][0]["content"]},
                     {"stop", "STOP"},
                     {"max_output_tokens", 9}};
  const Json whole = post("/v1/responses", body.dump())->json();
  EXPECT_EQ(whole["status"], "completed");
  EXPECT_TRUE(whole["incomplete_details"].is_null());
  EXPECT_EQ(whole["output"][0]["status"], "completed");
  EXPECT_EQ(whole["output"][0]["content"][0]["text"], "Yes");
}

TEST_F(ApiTools, WhatResponsesCannotIsNamed) {
  const auto error = [&](const char* body) {
    const auto client = post("/v1/responses", body);
    EXPECT_EQ(client->wait().status, 400) << body;
    return client->json()["error"]["param"];
  };
  EXPECT_EQ(error(R"({})"), "input");
  EXPECT_EQ(error(R"({"input":"a","store":true})"), "store");
  EXPECT_EQ(error(R"({"input":"a","previous_response_id":"resp_1"})"), "previous_response_id");
  EXPECT_EQ(error(R"({"input":"a","truncation":"auto"})"), "truncation");
  EXPECT_EQ(error(R"({"input":"a","max_output_tokens":0})"), "max_output_tokens");
  EXPECT_EQ(error(R"({"input":"a","tools":[{"type":"web_search"}]})"), "tools[0]");
  EXPECT_EQ(error(R"({"input":[{"type":"item_reference","id":"x"}]})"), "input[0]");
  EXPECT_EQ(error(R"({"input":[{"role":"user","content":[{"type":"input_image"}]}]})"),
            "input[0].content[0]");
}

TEST(ResponsesBody, IsTheChatThatItMeans) {
  const Json chat = chat_body_of_response(parse_json(R"({"model":"m","instructions":"be brief",
    "max_output_tokens":9,"reasoning":{"effort":"low"},"tool_choice":{"type":"function","name":"f"},
    "text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"},"strict":true}},
    "tools":[{"type":"function","name":"f","description":"d","parameters":{"type":"object"}}],
    "input":[{"role":"user","content":[{"type":"input_text","text":"a"}]},
      {"type":"reasoning","id":"rs_1","summary":[],"content":[{"type":"reasoning_text","text":"hm"}]},
      {"type":"message","role":"assistant","content":[{"type":"output_text","text":"t"}]},
      {"type":"function_call","call_id":"1","name":"f","arguments":"{\"x\":1}"},
      {"type":"function_call","call_id":"2","name":"f","arguments":"{}"},
      {"type":"function_call_output","call_id":"1","output":"r"},
      {"type":"function_call","call_id":"3","name":"f","arguments":"{}"},
      {"role":"user","content":"go on"}]})",
                                                     "body"));
  EXPECT_EQ(chat["max_tokens"], 9);
  EXPECT_EQ(chat["reasoning"]["effort"], "low");
  EXPECT_EQ(chat["tool_choice"]["function"]["name"], "f");
  EXPECT_EQ(chat["tools"][0]["function"]["parameters"]["type"], "object");
  EXPECT_EQ(chat["response_format"]["json_schema"]["schema"]["type"], "object");
  const Json& messages = chat["messages"];
  ASSERT_EQ(messages.size(), 6u);
  EXPECT_EQ(messages[0], (Json{{"role", "system"}, {"content", "be brief"}}));
  EXPECT_EQ(messages[1]["content"], "a");
  EXPECT_EQ(messages[2]["reasoning_content"], "hm");
  EXPECT_EQ(messages[2]["content"], "t");
  EXPECT_EQ(messages[2]["tool_calls"].size(), 2u);
  EXPECT_EQ(messages[3]["role"], "tool");
  EXPECT_EQ(messages[4]["tool_calls"][0]["id"], "3");
  EXPECT_EQ(messages[5]["content"], "go on");
}

}  // namespace
}  // namespace tq
