// An Api over the toy model, with clients that remember what they were sent.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/json.h"
#include "server/api.h"
#include "support/kv_formats.h"
#include "unit/engine/received.h"
#include "unit/engine/toy_model.h"

namespace tq {

// What a client was sent.
class Client : public Responder {
 public:
  void send(HttpResponse response) override {
    const std::lock_guard lock(mutex_);
    EXPECT_FALSE(done_);
    response_ = std::move(response);
    done_ = true;
    changed_.notify_all();
  }
  void start(HttpResponse head) override {
    const std::lock_guard lock(mutex_);
    response_ = std::move(head);
    started_ = true;
    changed_.notify_all();
  }
  void write(std::string events) override {
    const std::lock_guard lock(mutex_);
    EXPECT_TRUE(started_ && !done_);
    response_.body += events;
    changed_.notify_all();
  }
  void end() override {
    const std::lock_guard lock(mutex_);
    done_ = true;
    changed_.notify_all();
  }
  void on_disconnect(std::function<void()> told) override {
    const std::lock_guard lock(mutex_);
    told_ = std::move(told);
  }

  void go() {
    std::function<void()> told;
    {
      const std::lock_guard lock(mutex_);
      told = told_;
    }
    if (told) told();
  }
  // Waits for the whole answer.
  const HttpResponse& wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return done_; });
    return response_;
  }
  // Waits until some of the body is there.
  void wait_for(const std::string& text) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return response_.body.find(text) != std::string::npos; });
  }
  bool done() {
    const std::lock_guard lock(mutex_);
    return done_;
  }
  Json json() { return parse_json(wait().body, "answer"); }
  // Of a stream, what stands after "data: "; the last must be [DONE], which is left out.
  std::vector<Json> chunks(bool done = true) {
    std::vector<std::string> events;
    const std::string& body = wait().body;
    for (size_t at = 0; at < body.size();) {
      const size_t end = body.find("\n\n", at);
      EXPECT_NE(end, std::string::npos) << body;
      EXPECT_EQ(body.substr(at, 6), "data: ");
      events.push_back(body.substr(at + 6, end - at - 6));
      at = end + 2;
    }
    if (done) {
      EXPECT_EQ(events.back(), "[DONE]");
      events.pop_back();
    }
    std::vector<Json> chunks;
    for (const std::string& event : events) chunks.push_back(parse_json(event, "event"));
    return chunks;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  HttpResponse response_;
  bool started_ = false;
  bool done_ = false;
  std::function<void()> told_;
};

// The text of a chat is its messages, each with a space after it.
class ServedToy : public testing::Test {
 protected:
  explicit ServedToy(ApiOptions options = {}, int64_t context = 64,
                     std::shared_ptr<ToyTokenizer> tokenizer = std::make_shared<ToyTokenizer>())
      : model_(limits(8, 3, context)), tokenizer_(std::move(tokenizer)) {
    options.model_names = {"toy"};
    options.root = "/models/toy";
    options.version = "1.2.3";
    api_ = std::make_unique<Api>(
        std::move(options), [this](std::function<void()> task) { answers_.add(std::move(task)); });
    service_ = std::make_unique<Service>(model_, tokenizer_, std::vector<int32_t>{},
                                         EngineOptions{.kv_format = fixtures::kKvF32});
  }
  ~ServedToy() override {
    api_->close_model();
    service_.reset();
    answers_.stop();
  }

  ServedModel served() {
    return {.service = service_.get(),
            .tokenizer = tokenizer_,
            .chat_template = &template_,
            .tool_template = &template_,
            .sampling = {},
            .context = model_.options().max_context,
            .n_sequences = 3,
            .n_tokens = 30,
            .grammars = grammars_};
  }
  void open() { api_->open_model(served()); }

  std::shared_ptr<Client> ask(const std::string& method, const std::string& path,
                              const std::string& body = "") {
    HttpRequest request;
    request.method = method;
    request.path = path;
    request.headers = {{"host", "localhost"}, {"content-type", "application/json"}};
    request.body = body;
    auto client = std::make_shared<Client>();
    if (auto refused = api_->check(request)) {
      client->send(std::move(*refused));
    } else {
      api_->handle(std::move(request), client);
    }
    return client;
  }
  std::shared_ptr<Client> post(const std::string& path, const std::string& body) {
    return ask("POST", path, body);
  }
  std::shared_ptr<Client> get(const std::string& path) { return ask("GET", path); }

  // Requests that were answered leave soon after.
  void wait_until_idle() {
    while (api_->n_open() > 0 || service_->n_requests() > 0) std::this_thread::yield();
  }

  // What the toy says to a text.
  std::string greedy(const std::string& prompt, int n) {
    return tokenizer_->decode(toy_greedy(tokenizer_->encode(prompt, {}), n, 30), true);
  }

  ToyModel model_;
  std::shared_ptr<ToyTokenizer> tokenizer_;
  ChatTemplate template_{"{% for m in messages %}{{ m.content }} {% endfor %}", "toy",
                         Json::object()};
  std::shared_ptr<Grammars> grammars_ =
      std::make_shared<Grammars>(tokenizer_, std::vector<int32_t>{});
  TaskQueue answers_{1};
  std::unique_ptr<Api> api_;
  std::unique_ptr<Service> service_;
};

}  // namespace tq
