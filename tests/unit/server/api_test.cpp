#include "server/api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "unit/server/spoken_toy.h"

namespace tq {
namespace {

using ::testing::HasSubstr;

class ApiTest : public ServedToy {
 protected:
  ApiTest() { open(); }
};

// Of a chat's or a completion's chunks, the text of each choice.
std::map<int, std::string> texts_of(const std::vector<Json>& chunks) {
  std::map<int, std::string> texts;
  for (const Json& chunk : chunks) {
    for (const Json& choice : chunk["choices"]) {
      const int index = choice["index"].get<int>();
      if (choice.contains("text")) texts[index] += choice["text"].get<std::string>();
      if (choice.contains("delta") && choice["delta"].contains("content")) {
        texts[index] += choice["delta"]["content"].get<std::string>();
      }
    }
  }
  return texts;
}

TEST_F(ApiTest, CompletesAText) {
  const auto client = post("/v1/completions", R"({"model":"toy","prompt":"ab","max_tokens":6})");
  const Json json = client->json();
  EXPECT_EQ(client->wait().status, 200);
  EXPECT_EQ(json["object"], "text_completion");
  EXPECT_EQ(json["model"], "toy");
  EXPECT_EQ(json["choices"].size(), 1u);
  EXPECT_EQ(json["choices"][0]["text"], greedy("ab", 6));
  EXPECT_EQ(json["choices"][0]["finish_reason"], "length");
  EXPECT_TRUE(json["choices"][0]["logprobs"].is_null());
  EXPECT_EQ(json["usage"]["prompt_tokens"], 2);
  EXPECT_EQ(json["usage"]["completion_tokens"], 6);
  EXPECT_EQ(json["usage"]["total_tokens"], 8);
  EXPECT_EQ(json["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
}

TEST_F(ApiTest, PromptsAreTextsIdsAndListsOfThem) {
  const Json both =
      post("/v1/completions", R"({"prompt":["ab",[0,1]],"max_tokens":4,"echo":true})")->json();
  ASSERT_EQ(both["choices"].size(), 2u);
  for (const Json& choice : both["choices"]) EXPECT_EQ(choice["text"], "ab" + greedy("ab", 4));
  EXPECT_EQ(both["usage"]["prompt_tokens"], 4);
  const Json ids = post("/v1/completions", R"({"prompt":[0,1]})")->json();
  EXPECT_EQ(ids["choices"][0]["text"], greedy("ab", 16));
}

TEST_F(ApiTest, AnswersAChat) {
  const Json json = post("/v1/chat/completions",
                         R"({"messages":[{"role":"user","content":"hi"}],"max_tokens":5})")
                        ->json();
  EXPECT_EQ(json["object"], "chat.completion");
  const Json& message = json["choices"][0]["message"];
  EXPECT_EQ(message["role"], "assistant");
  EXPECT_EQ(message["content"], greedy("hi ", 5));
  EXPECT_TRUE(message["refusal"].is_null());
  EXPECT_FALSE(message.contains("tool_calls"));
}

TEST_F(ApiTest, AnAnswerMayTakeAllOfTheContext) {
  const Json json =
      post("/v1/chat/completions", R"({"messages":[{"role":"user","content":"hi"}]})")->json();
  EXPECT_EQ(json["usage"]["total_tokens"], 64);
  EXPECT_EQ(json["choices"][0]["finish_reason"], "length");
  const Json more =
      post("/v1/completions", R"({"prompt":"hi","max_tokens":1000,"min_tokens":900})")->json();
  EXPECT_EQ(more["usage"]["total_tokens"], 64);
}

TEST_F(ApiTest, AStreamHasWhatClientsNeed) {
  const auto chunks =
      post("/v1/chat/completions",
           R"({"messages":[{"role":"user","content":"hi"}],"max_tokens":5,"stream":true,"n":2})")
          ->chunks();
  std::set<std::string> ids;
  std::map<int, int> n_finished;
  std::set<int> begun;
  for (const Json& chunk : chunks) {
    EXPECT_EQ(chunk["object"], "chat.completion.chunk");
    EXPECT_EQ(chunk["model"], "toy");
    EXPECT_FALSE(chunk.contains("usage"));
    ids.insert(chunk["id"].get<std::string>() + chunk["created"].dump());
    ASSERT_EQ(chunk["choices"].size(), 1u);
    const Json& choice = chunk["choices"][0];
    const int index = choice["index"].get<int>();
    if (begun.insert(index).second) {
      EXPECT_EQ(choice["delta"]["role"], "assistant");
    } else {
      EXPECT_FALSE(choice["delta"].contains("role"));
    }
    EXPECT_EQ(n_finished[index], 0) << "something after the end";
    if (!choice["finish_reason"].is_null()) ++n_finished[index];
  }
  EXPECT_EQ(ids.size(), 1u);
  EXPECT_EQ(n_finished, (std::map<int, int>{{0, 1}, {1, 1}}));
}

TEST_F(ApiTest, UsageComesLastWhereItIsAskedFor) {
  const auto chunks = post("/v1/completions",
                           R"({"prompt":"ab","max_tokens":3,"stream":true,
                               "stream_options":{"include_usage":true}})")
                          ->chunks();
  for (size_t i = 0; i + 1 < chunks.size(); ++i) EXPECT_TRUE(chunks[i]["usage"].is_null());
  EXPECT_TRUE(chunks.back()["choices"].empty());
  EXPECT_EQ(chunks.back()["usage"]["completion_tokens"], 3);
}

TEST_F(ApiTest, StreamAndWholeAreTheSame) {
  for (const char* kind : {R"("temperature":3,"seed":11,"n":3)", R"("temperature":0)",
                           R"("temperature":9,"seed":2,"stop":["e","gh"],"n":2)"}) {
    const std::string rest =
        std::string(R"("messages":[{"role":"user","content":"abc"}],"max_tokens":20,)") + kind;
    const Json whole = post("/v1/chat/completions", "{" + rest + "}")->json();
    const auto texts =
        texts_of(post("/v1/chat/completions", "{\"stream\":true," + rest + "}")->chunks());
    ASSERT_EQ(texts.size(), whole["choices"].size());
    for (const auto& [index, text] : texts) {
      EXPECT_EQ(whole["choices"][static_cast<size_t>(index)]["message"]["content"], text);
    }
  }
}

TEST_F(ApiTest, ChoicesDiffer) {
  const Json json =
      post("/v1/completions", R"({"prompt":"ab","max_tokens":12,"temperature":5,"seed":1,"n":3})")
          ->json();
  std::set<std::string> texts;
  for (const Json& choice : json["choices"]) texts.insert(choice["text"].get<std::string>());
  EXPECT_EQ(texts.size(), 3u);
  EXPECT_EQ(json["usage"]["prompt_tokens"], 2);  // which are computed and counted once
  EXPECT_EQ(json["usage"]["completion_tokens"], 36);
}

TEST_F(ApiTest, LogProbabilitiesComeWithTheTokens) {
  const std::string body =
      R"("messages":[{"role":"user","content":"a"}],"max_tokens":4,"logprobs":true,"top_logprobs":2)";
  const Json whole = post("/v1/chat/completions", "{" + body + "}")->json();
  const Json& tokens = whole["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(tokens.size(), 4u);
  std::string text;
  for (const Json& token : tokens) {
    text += token["token"].get<std::string>();
    EXPECT_LE(token["logprob"].get<double>(), 0);
    ASSERT_EQ(token["top_logprobs"].size(), 2u);
    EXPECT_EQ(token["top_logprobs"][0]["token"], token["token"]);  // greedy takes the best
    EXPECT_EQ(token["bytes"].size(), token["token"].get<std::string>().size());
  }
  EXPECT_EQ(text, whole["choices"][0]["message"]["content"]);
  Json streamed = Json::array();
  for (const Json& chunk :
       post("/v1/chat/completions", "{\"stream\":true," + body + "}")->chunks()) {
    const Json& logprobs = chunk["choices"][0]["logprobs"];
    if (logprobs.is_null()) continue;
    for (const Json& token : logprobs["content"]) streamed.push_back(token);
  }
  EXPECT_EQ(streamed, tokens);
  const Json completion =
      post("/v1/completions", R"({"prompt":"a","max_tokens":3,"logprobs":1})")->json();
  const Json& lists = completion["choices"][0]["logprobs"];
  EXPECT_EQ(lists["text_offset"], Json::array({0, 1, 2}));
  EXPECT_EQ(lists["tokens"].size(), 3u);
  EXPECT_EQ(lists["top_logprobs"][0].size(), 1u);
}

TEST_F(ApiTest, WhatIsWrongIsNamed) {
  struct Case {
    const char* path;
    const char* body;
    int status;
    const char* message;
  };
  const std::string deep(65, '[');
  const std::vector<Case> cases = {
      {"/v1/completions", "{", 400, "body"},
      {"/v1/completions", "[1]", 400, "object"},
      {"/v1/completions", "{}", 400, "prompt"},
      {"/v1/completions", R"({"prompt":7})", 400, "prompt is 7"},
      {"/v1/completions", R"({"prompt":[0,99]})", 400, "ids are 0 to 29"},
      {"/v1/completions", R"({"prompt":""})", 400, "empty"},
      {"/v1/completions", R"({"prompt":"a","temperature":"hot"})", 400, "temperature is \"hot\""},
      {"/v1/completions", R"({"prompt":"a","temperature":-1})", 400, "temperature is -1"},
      {"/v1/completions", R"({"prompt":"a","top_p":0})", 400, "top_p"},
      {"/v1/completions", R"({"prompt":"a","n":129})", 400, "1 to 128"},
      {"/v1/completions", R"({"prompt":"a","max_tokens":0})", 400, "max_tokens is 0"},
      {"/v1/completions", R"({"prompt":"a","max_tokens":1.5})", 400, "not an integer"},
      {"/v1/completions", R"({"prompt":"a","stop":[""]})", 400, "stop"},
      {"/v1/completions", R"({"prompt":"a","logit_bias":{"x":1}})", 400, "token ids"},
      {"/v1/completions", R"({"prompt":"a","logit_bias":{"77":1}})", 400,
       "logit_bias names token 77"},
      {"/v1/completions", R"({"prompt":"a","guided_json":{"not":{}}})", 400, "guided_json"},
      {"/v1/completions", R"({"prompt":"a","suffix":"b"})", 400, "suffix"},
      {"/v1/completions", R"({"prompt":"a","model":"gpt-4"})", 404, "gpt-4"},
      {"/v1/chat/completions", R"({"messages":[]})", 400, "messages"},
      {"/v1/chat/completions", R"({"messages":[{"role":"user"}]})", 400, "messages[0]"},
      {"/v1/chat/completions", R"({"messages":[{"role":"user","content":5}]})", 400,
       "content is 5"},
      {"/v1/chat/completions",
       R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]})",
       400, "image_url"},
      {"/v1/chat/completions",
       R"({"messages":[{"role":"user","content":"a"}],"response_format":{"type":"xml"}})", 400,
       "xml"},
      {"/v1/chat/completions", R"({"messages":[{"role":"user","content":"a"}],"top_logprobs":2})",
       400, "logprobs"},
      {"/v1/chat/completions",
       R"({"messages":[{"role":"user","content":"a"}],"tools":[{"type":"function"}]})", 400,
       "tools[0].function"},
      {"/v1/chat/completions",
       R"({"messages":[{"role":"user","content":"a"}],"tool_choice":"required"})", 400,
       "tool_choice"},
      {"/tokenize", R"({"prompt":1})", 400, "prompt is 1"},
      {"/detokenize", R"({"tokens":[30]})", 400, "ids are 0 to 29"},
      {"/nowhere", "{}", 404, "path"},
      {"/health", "{}", 405, "method"},
  };
  for (const Case& wrong : cases) {
    const auto client = post(wrong.path, wrong.body);
    EXPECT_EQ(client->wait().status, wrong.status) << wrong.body;
    const Json error = client->json()["error"];
    EXPECT_THAT(error["message"].get<std::string>(), HasSubstr(wrong.message)) << wrong.body;
    for (const char* key : {"type", "param", "code"}) EXPECT_TRUE(error.contains(key));
  }
  const std::string nested = R"({"prompt":"a","x":)" + deep + std::string(65, ']') + "}";
  EXPECT_THAT(post("/v1/completions", nested)->wait().body, HasSubstr("deep"));
  wait_until_idle();
}

TEST_F(ApiTest, ATooLongPromptIsToldBothNumbers) {
  const auto client =
      post("/v1/completions", R"({"prompt":")" + std::string(64, 'a') + R"(","stream":true})");
  EXPECT_EQ(client->wait().status, 400);
  EXPECT_THAT(client->wait().body, HasSubstr("64 tokens long"));
  EXPECT_EQ(client->json()["error"]["code"], "context_length_exceeded");
}

TEST_F(ApiTest, UnknownFieldsAndNullsAreIgnored) {
  const auto client =
      post("/v1/completions",
           R"({"prompt":"a","max_tokens":2,"no_stop_trim":true,"stop":null,"user":"x",
                               "temperature":null,"guided_json":null,"priority":3,"top_k":-1})");
  EXPECT_EQ(client->json()["choices"][0]["text"], greedy("a", 2));
}

TEST_F(ApiTest, TheLastMessageIsContinued) {
  const std::string messages =
      R"("messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"so "}])";
  const auto prompt = [&](const std::string& more) {
    return post("/apply-template", "{" + messages + more + "}")->json()["prompt"];
  };
  EXPECT_EQ(prompt(""), "hi so  ");
  EXPECT_EQ(prompt(R"(,"continue_final_message":true)"), "hi so ");
  const Json json = post("/v1/chat/completions",
                         "{" + messages + R"(,"continue_final_message":true,"max_tokens":5})")
                        ->json();
  EXPECT_EQ(json["choices"][0]["message"]["content"], greedy("hi so ", 5));
  for (const char* wrong :
       {R"({"messages":[{"role":"user","content":"a"}],"continue_final_message":true,
            "add_generation_prompt":true})",
        R"({"messages":[{"role":"assistant","content":null}],"continue_final_message":true})"}) {
    EXPECT_EQ(post("/v1/chat/completions", wrong)->json()["error"]["param"],
              "continue_final_message");
  }
}

TEST_F(ApiTest, AClientThatGoesIsForgotten) {
  for (const bool stream : {true, false}) {
    for (int i = 0; i < 20; ++i) {
      const auto client =
          post("/v1/completions", std::string(R"({"prompt":"a","max_tokens":60,"n":3,"stream":)") +
                                      (stream ? "true}" : "false}"));
      if (stream && i % 2 == 0) client->wait_for("data:");
      client->go();
    }
  }
  // Those that went before they were listened to get their answers; nothing is left of any.
  wait_until_idle();
  EXPECT_EQ(service_->status().engine.n_used_pages, 0);
}

TEST_F(ApiTest, AModelThatFailsIsTold) {
  model_.broken_step = 4;
  const auto client = post("/v1/completions", R"({"prompt":"a","max_tokens":9,"stream":true})");
  const auto chunks = client->chunks(false);
  EXPECT_THAT(chunks.back()["error"]["message"].get<std::string>(), HasSubstr("the toy broke"));
  EXPECT_EQ(chunks.back()["error"]["type"], "server_error");
  EXPECT_EQ(get("/health")->wait().status, 503);  // its device is not to be relied on
  wait_until_idle();
}

TEST_F(ApiTest, WhatIsUnderWayIsToldThatTheServerGoes) {
  const auto client = post("/v1/completions", R"({"prompt":"a","max_tokens":60,"stream":true})");
  const auto whole = post("/v1/completions", R"({"prompt":"b","max_tokens":60})");
  client->wait_for("data:");
  api_->close_model();
  service_.reset();
  const std::string& body = client->wait().body;
  EXPECT_TRUE(body.ends_with("[DONE]\n\n") || body.find("going down") != std::string::npos) << body;
  EXPECT_TRUE(whole->wait().status == 200 || whole->wait().status == 503);
  EXPECT_EQ(post("/v1/completions", R"({"prompt":"a"})")->wait().status, 503);
  EXPECT_EQ(get("/health")->wait().status, 503);
}

TEST_F(ApiTest, TellsAboutItself) {
  EXPECT_EQ(get("/health")->wait().status, 200);
  EXPECT_EQ(get("/ping")->wait().status, 200);
  EXPECT_EQ(ask("HEAD", "/health")->wait().status, 200);
  EXPECT_EQ(get("/version")->json()["version"], "1.2.3");
  EXPECT_EQ(get("/load")->json()["server_load"], 0);
  const Json models = get("/v1/models")->json();
  EXPECT_EQ(models["data"][0]["id"], "toy");
  EXPECT_EQ(models["data"][0]["root"], "/models/toy");
  EXPECT_EQ(models["data"][0]["max_model_len"], 64);
  EXPECT_EQ(get("/model_info")->json()["model_path"], "/models/toy");
  EXPECT_EQ(get("/server_info")->json()["served_model_name"], "toy");
  // The root is a name, too.
  EXPECT_EQ(post("/v1/completions", R"({"prompt":"a","model":"/models/toy"})")->wait().status, 200);
}

TEST_F(ApiTest, TokenizesAndRenders) {
  const Json tokens = post("/tokenize", R"({"prompt":"abc"})")->json();
  EXPECT_EQ(tokens["tokens"], Json::array({0, 1, 2}));
  EXPECT_EQ(tokens["count"], 3);
  EXPECT_EQ(tokens["max_model_len"], 64);
  const Json chat =
      post("/tokenize", R"({"messages":[{"role":"user","content":[{"type":"text","text":"b"}]}]})")
          ->json();
  EXPECT_EQ(chat["tokens"], Json::array({1, 26}));
  EXPECT_EQ(post("/detokenize", R"({"tokens":[0,26,27]})")->json()["prompt"], "a \xc3\xa9");
  EXPECT_EQ(
      post("/apply-template", R"({"messages":[{"role":"user","content":"b"}]})")->json()["prompt"],
      "b ");
}

TEST_F(ApiTest, MetricsCount) {
  post("/v1/completions", R"({"prompt":"abc","max_tokens":4})")->wait();
  post("/v1/completions", R"({"prompt":"abc","max_tokens":"x"})")->wait();
  const std::string text = get("/metrics")->wait().body;
  for (const char* line :
       {"vllm:request_success_total{model_name=\"toy\",engine=\"0\",finished_reason=\"length\"} "
        "1\n",
        "vllm:time_to_first_token_seconds_count{model_name=\"toy\",engine=\"0\"} 1\n",
        "vllm:inter_token_latency_seconds_count{model_name=\"toy\",engine=\"0\"} 3\n",
        "vllm:request_prompt_tokens_sum{model_name=\"toy\",engine=\"0\"} 3\n",
        "vllm:request_generation_tokens_bucket{model_name=\"toy\",engine=\"0\",le=\"2\"} 0\n",
        "vllm:request_generation_tokens_bucket{model_name=\"toy\",engine=\"0\",le=\"5\"} 1\n",
        "vllm:num_requests_waiting{model_name=\"toy\",engine=\"0\"} 0\n",
        "tq:http_responses_total{code=\"400\"} 1\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST_F(ApiTools, CallsAreFound) {
  const std::vector<std::string> said = {"I look. ", "<tool_", "call>{\"name\":\"f\",",
                                         "\"arguments\":{\"x\":1}}</tool_call>"};
  const std::string body = let_say(said, kTools);
  const Json whole = post("/v1/chat/completions", body)->json()["choices"][0];
  EXPECT_EQ(whole["finish_reason"], "tool_calls");
  EXPECT_EQ(whole["message"]["content"], "I look.");
  const Json& call = whole["message"]["tool_calls"][0];
  EXPECT_EQ(call["type"], "function");
  EXPECT_EQ(call["function"]["name"], "f");
  EXPECT_EQ(call["function"]["arguments"], "{\"x\":1}");
  EXPECT_TRUE(call["id"].get<std::string>().starts_with("call_"));

  std::string text;
  std::vector<Json> calls;
  std::string finish;
  for (const Json& chunk :
       post("/v1/chat/completions", let_say(said, kTools + std::string(",\"stream\":true")))
           ->chunks()) {
    const Json& choice = chunk["choices"][0];
    if (choice["delta"].contains("content")) text += choice["delta"]["content"].get<std::string>();
    if (choice["delta"].contains("tool_calls")) calls.push_back(choice["delta"]["tool_calls"][0]);
    if (!choice["finish_reason"].is_null()) finish = choice["finish_reason"].get<std::string>();
  }
  EXPECT_EQ(text, "I look.");
  EXPECT_EQ(finish, "tool_calls");
  ASSERT_EQ(calls.size(), 1u);
  EXPECT_EQ(calls[0]["index"], 0);
  EXPECT_EQ(calls[0]["function"], call["function"]);
}

TEST_F(ApiTools, WithoutParallelCallsTheFirstEndsTheAnswer) {
  const std::vector<std::string> said = {"<tool_call>{\"name\":\"f\"}",
                                         "</tool_call>",
                                         "<tool_call>{\"name\":\"g\"}",
                                         "</tool_call>",
                                         "a",
                                         "b"};
  const auto calls_of = [&](const char* more) {
    const Json choice = post("/v1/chat/completions", let_say(said, kTools + std::string(more)))
                            ->json()["choices"][0];
    EXPECT_EQ(choice["finish_reason"], "tool_calls");
    return choice["message"]["tool_calls"].size();
  };
  EXPECT_EQ(calls_of(""), 2u);
  EXPECT_EQ(calls_of(R"(,"parallel_tool_calls":false)"), 1u);
  const auto chunks =
      post("/v1/chat/completions",
           let_say(said, kTools + std::string(R"(,"stream":true,"parallel_tool_calls":false)")))
          ->chunks();
  EXPECT_EQ(chunks.back()["choices"][0]["finish_reason"], "tool_calls");
  wait_until_idle();
  EXPECT_EQ(service_->status().engine.n_used_pages, 0);
}

TEST_F(ApiTools, WithoutToolsAndWithoutACallItIsText) {
  const std::vector<std::string> said = {"<tool_call>{\"name\":\"f\"}", "</tool_call>"};
  for (const std::string& fields :
       {std::string(R"("seed":1)"), kTools + std::string(R"(,"tool_choice":"none")")}) {
    const Json choice = post("/v1/chat/completions", let_say(said, fields))->json()["choices"][0];
    EXPECT_EQ(choice["message"]["content"], said[0] + said[1]);
    EXPECT_EQ(choice["finish_reason"], "stop");
  }
  const std::vector<std::string> broken = {"<tool_call>{\"name\":", "7}</tool_call>"};
  const Json choice = post("/v1/chat/completions", let_say(broken, kTools))->json()["choices"][0];
  EXPECT_EQ(choice["message"]["content"], broken[0] + broken[1]);
  EXPECT_EQ(choice["finish_reason"], "stop");
}

class ApiLoading : public ServedToy {};

TEST_F(ApiLoading, NothingIsAnsweredBeforeThereIsAModel) {
  const auto health = get("/health");
  EXPECT_EQ(health->wait().status, 503);
  EXPECT_EQ(health->json()["error"]["code"], "loading");
  const auto refused = post("/v1/completions", R"({"prompt":"a"})");
  EXPECT_EQ(refused->wait().status, 503);
  EXPECT_EQ(get("/version")->wait().status, 200);
  EXPECT_EQ(get("/metrics")->wait().status, 200);
  open();
  EXPECT_EQ(get("/health")->wait().status, 200);
  api_->drain();
  EXPECT_EQ(get("/health")->json()["error"]["code"], "draining");
}

class ApiQueue : public ServedToy {
 protected:
  ApiQueue() : ServedToy({.max_queue = 2}, 4096) {
    // Or answers are made faster than this machine may tell them.
    model_.before_step = [] { std::this_thread::sleep_for(std::chrono::milliseconds(1)); };
    open();
  }
};

TEST_F(ApiQueue, TakesSoManyAndNoMore) {
  const std::string body = R"({"prompt":"a","max_tokens":4000,"stream":true})";
  std::vector<std::shared_ptr<Client>> clients;
  for (int i = 0; i < 5; ++i) clients.push_back(post("/v1/completions", body));  // 3 run, 2 wait
  const auto refused = post("/v1/completions", body);
  EXPECT_EQ(refused->wait().status, 429);
  EXPECT_EQ(refused->json()["error"]["type"], "rate_limit_error");
  EXPECT_THAT(refused->wait().headers,
              testing::Contains(std::pair<std::string, std::string>("Retry-After", "1")));
  clients[0]->wait_for("data:");
  clients[0]->go();
  while (api_->n_open() > 4) std::this_thread::yield();
  EXPECT_EQ(post("/tokenize", R"({"prompt":"a"})")->wait().status, 200);
  EXPECT_EQ(post("/v1/completions", R"({"prompt":"a","n":2})")->wait().status, 429);
  for (const auto& client : clients) {
    client->wait_for("data:");
    client->go();
  }
}

}  // namespace
}  // namespace tq
