// HttpModel: a ChatModel behind a URL that speaks OpenAI's API.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>

#include "eval/chat_model.h"
#include "loadgen/http_client.h"

namespace tq {

struct HttpModelOptions {
  std::string url;
  std::string model;    // to ask for; empty: the server's first
  std::string api_key;  // empty: none
  int64_t parallel = 4;
  int retries = 3;           // of what may go better the next time: no connection, 429, 5xx, time
  double retry_seconds = 1;  // before the first retry; twice as long before each further one
  Json extra = Json::object();  // fields that are put into every request
  ClientLimits limits;
  ClientTrust trust;
  std::function<bool()> stops;  // null: never; true ends run(): kCancelled
};

class HttpModel : public ChatModel {
 public:
  explicit HttpModel(HttpModelOptions options);

  // The address and the model's name: what stands behind them cannot be known. Asks the server for
  // its first model where none is named: throws kIo.
  Json identity() override;
  void ask(ChatAsk ask, Told told) override;
  void run() override;

 private:
  struct Asked {
    std::string body;
    Told told;
    int tries = 0;
    double began = 0;
  };
  class Sink;
  HttpClient& client();
  const std::string& model_name();
  void start_waiting();
  void send(Asked asked);
  void on_answer(Asked asked, ChatAnswer answer, bool may_try_again);

  HttpModelOptions options_;
  std::optional<HttpClient> client_;
  std::deque<Asked> queue_;
  int64_t n_open_ = 0;
  bool running_ = false;
};

// The body of a request, and what an answer with status 200 says. The text of an answer that is not
// of this form is a fault.
Json chat_request(const std::string& model, const ChatAsk& ask);
ChatAnswer read_chat_response(const std::string& body);

}  // namespace tq
