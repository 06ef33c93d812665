#include "eval/http_model.h"

#include <cmath>
#include <memory>
#include <utility>

#include "base/error.h"
#include "loadgen/completion.h"
#include "loadgen/model_server.h"

namespace tq {
namespace {

constexpr size_t kMostBody = size_t{16} << 20;
constexpr int64_t kMostCount = int64_t{1} << 40;

const Json& member_of(const Json& json, const char* name) {
  static const Json none;
  if (!json.is_object()) return none;
  const auto found = json.find(name);
  return found == json.end() ? none : *found;
}

std::string text_of(const Json& json, const char* name) {
  const Json& value = member_of(json, name);
  return value.is_string() ? value.get<std::string>() : "";
}

ChatAnswer failed(std::string message) {
  return {.fault = ChatFault::kFailed, .message = std::move(message)};
}

}  // namespace

Json chat_request(const std::string& model, const ChatAsk& ask) {
  Json body = {{"model", model},
               {"messages", ask.messages},
               {"max_tokens", ask.max_tokens},
               {"temperature", ask.temperature}};
  if (ask.temperature > 0) body["seed"] = ask.seed;
  if (!ask.schema.is_null()) {
    body["response_format"] = {
        {"type", "json_schema"},
        {"json_schema", {{"name", "verdict"}, {"strict", true}, {"schema", ask.schema}}}};
  }
  return body;
}

ChatAnswer read_chat_response(const std::string& body) {
  Json json;
  try {
    json = parse_json(body, "the answer");
  } catch (const Error& error) {
    return failed(error.what());
  }
  const Json& choices = member_of(json, "choices");
  if (!choices.is_array() || choices.empty()) return failed("the answer has no choices");
  const Json& message = member_of(choices[0], "message");
  ChatAnswer answer;
  answer.text = text_of(message, "content");
  answer.reasoning = text_of(message, "reasoning_content");
  if (answer.reasoning.empty()) answer.reasoning = text_of(message, "reasoning");
  split_off_reasoning(answer);
  const std::string reason = text_of(choices[0], "finish_reason");
  answer.cut = reason == "length";
  const std::string refusal = text_of(message, "refusal");
  if (!refusal.empty() || reason == "content_filter") {
    answer.fault = ChatFault::kRefused;
    answer.message = refusal.empty() ? reason : refusal;
  }
  const Json& usage = member_of(json, "usage");
  answer.prompt_tokens = json_integer(member_of(usage, "prompt_tokens"), 0, kMostCount).value_or(0);
  answer.output_tokens =
      json_integer(member_of(usage, "completion_tokens"), 0, kMostCount).value_or(0);
  return answer;
}

// Reads the answer to one request.
class HttpModel::Sink : public CallSink {
 public:
  Sink(HttpModel& model, Asked asked) : model_(model), asked_(std::move(asked)) {}

  void on_head(int status, std::string_view /*content_type*/) override { status_ = status; }
  bool on_body(std::string_view bytes) override {
    if (body_.size() + bytes.size() > kMostBody) return false;
    body_ += bytes;
    return true;
  }
  void on_end(const CallEnd& end) override {
    ChatAnswer answer;
    bool may_try_again = false;
    if (end.fault != CallFault::kNone) {
      answer = failed(end.message.empty() ? "the answer is too long" : end.message);
      may_try_again = end.fault == CallFault::kConnect || end.fault == CallFault::kTimeout ||
                      end.fault == CallFault::kClosed;
    } else if (status_ != 200) {
      answer = failed(fmt::format("status {}: {}", status_, error_text(body_)));
      may_try_again = status_ == 408 || status_ == 429 || status_ >= 500;
    } else {
      answer = read_chat_response(body_);
    }
    answer.began = asked_.began;
    answer.seconds = unix_now() - asked_.began;
    model_.on_answer(std::move(asked_), std::move(answer), may_try_again);
  }

 private:
  HttpModel& model_;
  Asked asked_;
  int status_ = 0;
  std::string body_;
};

HttpModel::HttpModel(HttpModelOptions options) : options_(std::move(options)) {
  options_.url = parse_server_url(options_.url).text();
}

HttpClient& HttpModel::client() {
  if (!client_) {
    client_.emplace(parse_server_url(options_.url), options_.limits, options_.trust,
                    [this] { return !options_.stops || !options_.stops(); });
  }
  return *client_;
}

const std::string& HttpModel::model_name() {
  if (options_.model.empty()) {
    options_.model = ModelServer(client(), options_.api_key).first_model();
  }
  return options_.model;
}

Json HttpModel::identity() {
  Json out = {{"url", options_.url}, {"model", model_name()}};
  if (!options_.extra.empty()) out["extra"] = options_.extra;
  return out;
}

void HttpModel::ask(ChatAsk ask, Told told) {
  Json body = chat_request(model_name(), ask);
  body.update(options_.extra);
  Asked asked{.body = json_line(body), .told = std::move(told)};
  if (!running_) return queue_.push_back(std::move(asked));
  queue_.push_front(std::move(asked));
  // Not from here: an answer that fails at once would begin the next, which fails at once, ...
  client().after(0, [this] { start_waiting(); });
}

void HttpModel::run() {
  if (queue_.empty()) return;
  running_ = true;
  n_open_ = 0;
  start_waiting();
  try {
    client().run();
  } catch (...) {
    running_ = false;
    queue_.clear();
    throw;
  }
  running_ = false;
}

void HttpModel::start_waiting() {
  while (!queue_.empty() && n_open_ < options_.parallel) {
    Asked asked = std::move(queue_.front());
    queue_.pop_front();
    asked.began = unix_now();
    ++n_open_;
    send(std::move(asked));
  }
}

void HttpModel::send(Asked asked) {
  ClientRequest request{.method = "POST",
                        .path = endpoint_path(Endpoint::kChat),
                        .body = asked.body,
                        .headers = ModelServer(client(), options_.api_key).headers()};
  client().send(std::move(request), std::make_shared<Sink>(*this, std::move(asked)));
}

void HttpModel::on_answer(Asked asked, ChatAnswer answer, bool may_try_again) {
  if (may_try_again && asked.tries < options_.retries) {
    const double pause = options_.retry_seconds * std::pow(2, asked.tries++);
    // std::function wants what can be copied.
    const auto again = std::make_shared<Asked>(std::move(asked));
    return client().after(pause, [this, again] { send(std::move(*again)); });
  }
  --n_open_;
  asked.told(std::move(answer));
  client().after(0, [this] { start_waiting(); });
}

}  // namespace tq
