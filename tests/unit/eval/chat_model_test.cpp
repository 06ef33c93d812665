#include "eval/chat_model.h"

#include <gtest/gtest.h>

#include "eval/http_model.h"

namespace tq {
namespace {

TEST(ChatModel, ReasoningInTheTextIsSplitOff) {
  const auto split = [](const char* text) {
    ChatAnswer answer{.text = text};
    split_off_reasoning(answer);
    return std::pair(answer.reasoning, answer.text);
  };
  using Pair = std::pair<std::string, std::string>;
  EXPECT_EQ(split("<think>\nhm\n</think>\n\nYes."), Pair("hm", "Yes."));
  EXPECT_EQ(split("hm</think> Yes."), Pair("hm", "Yes."));  // opened by the template
  EXPECT_EQ(split("<think>never closed"), Pair("never closed", ""));
  EXPECT_EQ(split("No <think> tags count here."), Pair("", "No <think> tags count here."));
}

TEST(ChatModel, AnswersAreReadBack) {
  const ChatAnswer answer{.text = "ä\n👍",
                          .reasoning = "r",
                          .cut = true,
                          .prompt_tokens = 3,
                          .output_tokens = 4,
                          .began = 1.5,
                          .seconds = 0.25};
  EXPECT_EQ(read_chat_answer(answer.json(), "x").json(), answer.json());
}

TEST(HttpModel, RequestsHaveWhatServersKnow) {
  const ChatAsk ask{.messages = Json::array(), .max_tokens = 5, .schema = {{"type", "object"}}};
  const Json body = chat_request("m", ask);
  EXPECT_EQ(body["response_format"]["type"], "json_schema");
  EXPECT_EQ(body["response_format"]["json_schema"]["schema"], ask.schema);
  EXPECT_EQ(body["temperature"], 0);
  EXPECT_FALSE(body.contains("seed"));
  EXPECT_EQ(chat_request("m", {.temperature = 1, .seed = 3})["seed"], 3);
}

TEST(HttpModel, AnswersAndRefusalsAreRead) {
  const ChatAnswer good = read_chat_response(
      R"({"choices": [{"message": {"content": "Hi", "reasoning_content": "r"},
          "finish_reason": "length"}], "usage": {"prompt_tokens": 7, "completion_tokens": 2}})");
  EXPECT_EQ(good.text, "Hi");
  EXPECT_EQ(good.reasoning, "r");
  EXPECT_TRUE(good.cut);
  EXPECT_EQ(good.prompt_tokens, 7);
  EXPECT_EQ(good.output_tokens, 2);
  const ChatAnswer refused = read_chat_response(
      R"({"choices": [{"message": {"content": null, "refusal": "No."}, "finish_reason": "stop"}]})");
  EXPECT_EQ(refused.fault, ChatFault::kRefused);
  EXPECT_EQ(refused.message, "No.");
  for (const char* body : {"", "no JSON", "[]", "{}", R"({"choices": []})", R"({"choices": {}})"}) {
    EXPECT_EQ(read_chat_response(body).fault, ChatFault::kFailed) << body;
  }
  // Something in another form is an answer without a text, which checks and judges see as one.
  EXPECT_EQ(read_chat_response(R"({"choices": [{"message": {"content": [1]}}]})").text, "");
}

}  // namespace
}  // namespace tq
