#include <fmt/format.h>

#include <utility>

#include "server/call.h"
#include "server/json_text.h"
#include "server/responses.h"

namespace tq {
namespace {

constexpr std::string_view kInProgress = "in_progress";
constexpr std::string_view kCompleted = "completed";
constexpr std::string_view kIncomplete = "incomplete";

std::string response_usage_json(const Usage& usage) {
  return fmt::format(
      R"({{"input_tokens":{},"input_tokens_details":{{"cached_tokens":{}}},"output_tokens":{},)"
      R"("output_tokens_details":{{"reasoning_tokens":0}},"total_tokens":{}}})",
      usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens,
      usage.prompt_tokens + usage.completion_tokens);
}

// An item of the output: reasoning, a message or a call.
struct Item {
  ReplyDelta::Kind kind;
  std::string id;
  std::string text;
  IdentifiedCall call;

  bool is_call() const { return kind == ReplyDelta::Kind::kCall; }
  bool is_reasoning() const { return kind == ReplyDelta::Kind::kReasoning; }

  std::string part_json(std::string_view of_text) const {
    return is_reasoning()
               ? fmt::format(R"({{"type":"reasoning_text","text":{}}})", json_string(of_text))
               : fmt::format(R"({{"type":"output_text","text":{},"annotations":[],"logprobs":[]}})",
                             json_string(of_text));
  }
  // As it begins, or as it is.
  std::string json(std::string_view status) const {
    const bool begins = status == kInProgress;
    if (is_call()) {
      return fmt::format(
          R"({{"id":"{}","type":"function_call","status":"{}","call_id":{},"name":{},)"
          R"("arguments":{}}})",
          id, status, json_string(call.id), json_string(call.call.name),
          json_string(begins ? "" : call.call.arguments));
    }
    const std::string content = begins ? "" : part_json(text);
    return is_reasoning()
               ? fmt::format(
                     R"({{"id":"{}","type":"reasoning","summary":[],"content":[{}],"status":"{}"}})",
                     id, content, status)
               : fmt::format(R"({{"id":"{}","type":"message","status":"{}","role":"assistant",)"
                             R"("content":[{}]}})",
                             id, status, content);
  }
};

Item make_item(const ReplyDelta& delta) {
  const char* prefix = delta.kind == ReplyDelta::Kind::kText        ? "msg_"
                       : delta.kind == ReplyDelta::Kind::kReasoning ? "rs_"
                                                                    : "fc_";
  return {.kind = delta.kind, .id = prefix + random_name(), .text = "", .call = delta.call};
}

class ResponsesWriter : public ReplyWriter {
 public:
  ResponsesWriter(ReplyHead head, const Json& body, const ApiRequest& request)
      : head_(std::move(head)) {
    const auto given = [&](const char* key, const char* otherwise) {
      const auto found = body.find(key);
      const bool there = found != body.end() && !found->is_null();
      const std::string text = there ? json_line(*found) : otherwise;
      return fmt::format(",\"{}\":{}", key, text);
    };
    asked_ = given("instructions", "null") + given("max_output_tokens", "null") +
             given("metadata", "{}") + given("reasoning", R"({"effort":null,"summary":null})") +
             given("text", R"({"format":{"type":"text"}})") + given("tool_choice", R"("auto")") +
             given("tools", "[]");
    asked_ += R"(,"temperature":)";
    append_json_number(request.sampling.temperature, asked_);
    asked_ += R"(,"top_p":)";
    append_json_number(request.sampling.top_p, asked_);
    asked_ += request.parallel_calls ? R"(,"parallel_tool_calls":true)"
                                     : R"(,"parallel_tool_calls":false)";
  }

  std::string begin(size_t) override {
    const std::string response = "\"response\":" + response_json(kInProgress, "", nullptr, "null");
    std::string out = event("response.created", response);  // the first, which + would not say
    out += event("response.in_progress", response);
    return out;
  }

  std::string deltas(size_t, std::span<const ReplyDelta> deltas,
                     std::span<const TokenAlternatives>) override {
    std::string out;
    for (const ReplyDelta& delta : deltas) {
      const bool is_call = delta.kind == ReplyDelta::Kind::kCall;
      if (!item_ || is_call || item_->kind != delta.kind) {
        out += close_item(kCompleted);
        out += open_item(delta);
      }
      if (is_call) {
        out += in_item("response.function_call_arguments.delta",
                       "\"delta\":" + json_string(delta.call.call.arguments));
      } else {
        item_->text += delta.text;
        out += in_part(
            item_->is_reasoning() ? "response.reasoning_text.delta" : "response.output_text.delta",
            fmt::format("\"delta\":{}{}", json_string(delta.text), logprobs()));
      }
    }
    return out;
  }

  std::string finish(size_t, const ReplyChoice& whole) override {
    is_cut_ = whole.finish == "length";
    return close_item(is_cut_ ? kIncomplete : kCompleted);
  }

  std::string end(const Usage& usage) override {
    return event(is_cut_ ? "response.incomplete" : "response.completed",
                 "\"response\":" + final_json(usage));
  }

  std::string error(const ApiError& error) override {
    const std::string why =
        fmt::format(R"({{"code":"server_error","message":{}}})", json_string(error.what()));
    std::string out = n_events_ == 0 ? begin(0) : "";  // clients read no stream without it
    return out += event("response.failed",
                        "\"response\":" + response_json("failed", items_, nullptr, why));
  }

  std::string whole(std::span<const ReplyChoice> choices, const Usage& usage) override {
    const ReplyChoice& choice = choices[0];
    is_cut_ = choice.finish == "length";
    for (size_t i = 0; i < choice.parts.size(); ++i) {
      Item item = make_item(choice.parts[i]);
      item.text = choice.parts[i].text;
      add_item(item.json(is_cut_ && i + 1 == choice.parts.size() ? kIncomplete : kCompleted));
    }
    return final_json(usage);
  }

 private:
  std::string event(std::string_view type, const std::string& fields) {
    return fmt::format("event: {0}\ndata: {{\"type\":\"{0}\",\"sequence_number\":{1},{2}}}\n\n",
                       type, n_events_++, fields);
  }
  std::string in_item(std::string_view type, const std::string& fields) {
    return event(
        type, fmt::format(R"("item_id":"{}","output_index":{},{})", item_->id, n_items_, fields));
  }
  std::string in_part(std::string_view type, const std::string& fields) {
    return in_item(type, "\"content_index\":0," + fields);
  }
  // Which events of an answer's text have, and those of reasoning have not.
  std::string_view logprobs() const { return item_->is_reasoning() ? "" : R"(,"logprobs":[])"; }
  std::string item_event(std::string_view type, const std::string& item) {
    return event(type, fmt::format(R"("output_index":{},"item":{})", n_items_, item));
  }

  std::string open_item(const ReplyDelta& delta) {
    item_ = make_item(delta);
    std::string out = item_event("response.output_item.added", item_->json(kInProgress));
    if (!item_->is_call()) {
      out += in_part("response.content_part.added", "\"part\":" + item_->part_json(""));
    }
    return out;
  }

  std::string close_item(std::string_view status) {
    if (!item_) return "";
    std::string out;
    if (item_->is_call()) {
      out += in_item("response.function_call_arguments.done",
                     fmt::format(R"("name":{},"arguments":{})", json_string(item_->call.call.name),
                                 json_string(item_->call.call.arguments)));
    } else {
      out += in_part(
          item_->is_reasoning() ? "response.reasoning_text.done" : "response.output_text.done",
          fmt::format("\"text\":{}{}", json_string(item_->text), logprobs()));
      out += in_part("response.content_part.done", "\"part\":" + item_->part_json(item_->text));
    }
    const std::string json = item_->json(status);
    out += item_event("response.output_item.done", json);
    add_item(json);
    item_.reset();
    return out;
  }

  void add_item(const std::string& json) { items_ += (n_items_++ == 0 ? "" : ",") + json; }

  std::string final_json(const Usage& usage) const {
    return response_json(is_cut_ ? kIncomplete : kCompleted, items_, &usage, "null");
  }

  std::string response_json(std::string_view status, const std::string& items, const Usage* usage,
                            const std::string& error) const {
    const bool is_incomplete = status == kIncomplete;
    return fmt::format(
        R"({{"id":{},"object":"response","created_at":{},"status":"{}","background":false,)"
        R"("error":{},"incomplete_details":{},"model":{},"output":[{}],)"
        R"("previous_response_id":null,"store":false,"truncation":"disabled","usage":{}{}}})",
        json_string(head_.id), head_.created, status, error,
        is_incomplete ? R"({"reason":"max_output_tokens"})" : "null", json_string(head_.model),
        items, usage != nullptr ? response_usage_json(*usage) : "null", asked_);
  }

  ReplyHead head_;
  std::string asked_;         // what answers repeat, each with a comma before it
  std::optional<Item> item_;  // that is open
  std::string items_;         // that are closed, with commas between
  size_t n_items_ = 0;        // of these
  size_t n_events_ = 0;
  bool is_cut_ = false;  // by max_output_tokens
};

}  // namespace

std::unique_ptr<ReplyWriter> make_responses_writer(ReplyHead head, const Json& body,
                                                   const ApiRequest& request) {
  return std::make_unique<ResponsesWriter>(std::move(head), body, request);
}

}  // namespace tq
