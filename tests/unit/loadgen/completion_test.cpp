#include "loadgen/completion.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace tq {
namespace {

Json body_of(const AskOptions& options, const std::vector<ChatMessage>& history,
             const LoadPrompt& prompt) {
  return parse_json(request_body(options, history, prompt), "body");
}

TEST(RequestBody, OfChatsAndCompletions) {
  AskOptions options{.endpoint = Endpoint::kChat, .model = "m"};
  const std::vector<ChatMessage> history = {{"user", "a"}, {"assistant", "b"}};
  const Json chat = body_of(options, history, {.text = "c", .max_tokens = 7});
  EXPECT_EQ(chat["messages"].dump(),
            R"([{"role":"user","content":"a"},{"role":"assistant","content":"b"},)"
            R"({"role":"user","content":"c"}])");
  EXPECT_EQ(chat["max_tokens"], 7);
  EXPECT_EQ(chat["model"], "m");
  EXPECT_EQ(chat["stream"], true);
  EXPECT_EQ(chat["stream_options"]["include_usage"], true);
  EXPECT_FALSE(chat.contains("ignore_eos"));
  options.endpoint = Endpoint::kCompletions;
  options.ignore_eos = true;
  options.extra = {{"max_tokens", 9}, {"x", "\xff"}};
  const Json text = body_of(options, history, {.text = "c", .max_tokens = 7});
  EXPECT_EQ(text["prompt"], "abc");
  EXPECT_EQ(text["max_tokens"], 9);
  EXPECT_EQ(text["ignore_eos"], true);
  EXPECT_EQ(body_of(options, {}, {.ids = {1, 2}})["prompt"].dump(), "[1,2]");
}

TEST(StreamEvent, SaysWhatIsInIt) {
  const auto chat = [](const char* delta, const char* reason = "null") {
    return read_stream_event(
        Endpoint::kChat,
        fmt::format(R"({{"choices":[{{"delta":{},"finish_reason":{}}}]}})", delta, reason));
  };
  StreamPiece piece = chat(R"({"role":"assistant"})");
  EXPECT_TRUE(piece.is_choice && !piece.has_token && !piece.finished);
  piece = chat(R"({"role":"assistant","content":""})");
  EXPECT_FALSE(piece.has_token);
  piece = chat(R"({"content":"hi"})");
  EXPECT_TRUE(piece.has_token);
  EXPECT_EQ(piece.text, "hi");
  for (const char* delta : {R"({"reasoning_content":"x"})", R"({"reasoning":"x"})",
                            R"({"tool_calls":[{"index":0}],"content":null})"}) {
    EXPECT_TRUE(chat(delta).has_token) << delta;
    EXPECT_EQ(chat(delta).text, "");
  }
  piece = chat("{}", R"("stop")");
  EXPECT_TRUE(piece.finished && !piece.has_token);
  const auto text = [](const char* choice) {
    return read_stream_event(Endpoint::kCompletions, fmt::format(R"({{"choices":[{}]}})", choice));
  };
  EXPECT_TRUE(text(R"({"text":"a"})").has_token);
  EXPECT_TRUE(text(R"({"text":"","finish_reason":null})").has_token);  // a special one
  EXPECT_FALSE(text(R"({"text":"","finish_reason":"stop"})").has_token);
  EXPECT_TRUE(text(R"({"text":"a","finish_reason":"length"})").finished);
  EXPECT_TRUE(read_stream_event(Endpoint::kChat, "[DONE]").done);
}

TEST(StreamEvent, Usage) {
  const StreamPiece piece = read_stream_event(
      Endpoint::kChat, R"({"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3,)"
                       R"("prompt_tokens_details":{"cached_tokens":4}}})");
  ASSERT_TRUE(piece.usage);
  EXPECT_EQ(piece.usage->prompt_tokens, 5);
  EXPECT_EQ(piece.usage->completion_tokens, 3);
  EXPECT_EQ(piece.usage->cached_tokens, 4);
  EXPECT_FALSE(piece.is_choice);
  const StreamPiece hostile = read_stream_event(
      Endpoint::kChat, R"({"usage":{"prompt_tokens":-1,"completion_tokens":1e300}})");
  EXPECT_EQ(hostile.usage->prompt_tokens, 0);
  EXPECT_EQ(hostile.usage->completion_tokens, 0);
}

TEST(StreamEvent, ErrorsAndGarbage) {
  EXPECT_EQ(read_stream_event(Endpoint::kChat, R"({"error":{"message":"full"}})").error, "full");
  EXPECT_EQ(read_stream_event(Endpoint::kChat, R"({"error":"full"})").error, "full");
  for (const char* data :
       {"", "null", "{", "[]", "1", R"({"choices":1})", "\xff\xfe", R"({"a":1})", "<html>"}) {
    fixtures::expect_error(ErrorCode::kCorrupt, {"an event of the stream"},
                           [&] { read_stream_event(Endpoint::kChat, data); });
  }
  const std::string deep(1000, '[');
  fixtures::expect_error(ErrorCode::kCorrupt, {},
                         [&] { read_stream_event(Endpoint::kChat, deep); });
  for (const char* choices :
       {"[1]", "[null]", R"([{"delta":1}])", R"([{"delta":{"content":1}}])", R"([{"text":{}}])"}) {
    const StreamPiece piece =
        read_stream_event(Endpoint::kChat, fmt::format(R"({{"choices":{}}})", choices));
    EXPECT_TRUE(piece.is_choice && !piece.has_token) << choices;
  }
}

TEST(ErrorText, OfWhateverAServerSays) {
  EXPECT_EQ(error_text(R"({"error":{"message":"a"}})"), "a");
  EXPECT_EQ(error_text(R"({"message":"b"})"), "b");
  EXPECT_EQ(error_text(R"({"error":"c"})"), "c");
  EXPECT_EQ(error_text(""), "no text");
  EXPECT_EQ(error_text("<html>"), "\"<html>\"");
  EXPECT_LT(error_text(std::string(100000, 'a')).size(), 1000u);
}

}  // namespace
}  // namespace tq
