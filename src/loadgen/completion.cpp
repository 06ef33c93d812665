#include "loadgen/completion.h"

#include "base/error.h"

namespace tq {
namespace {

constexpr size_t kShownBytes = 200;
constexpr int64_t kMostTokens = int64_t{1} << 40;

const Json kNone;

// The member of an object; null where there is none.
const Json& member(const Json& json, const char* name) {
  if (!json.is_object()) return kNone;
  const auto found = json.find(name);
  return found == json.end() ? kNone : *found;
}

bool is_text(const Json& json) {
  return json.is_string() && !json.get_ref<const std::string&>().empty();
}

std::string shown(const std::string& text) { return json_for_message(text.substr(0, kShownBytes)); }

int64_t count(const Json& json, const char* name) {
  return json_integer(member(json, name), 0, kMostTokens).value_or(0);
}

void read_choice(Endpoint endpoint, const Json& choice, StreamPiece& piece) {
  piece.is_choice = true;
  const Json& reason = member(choice, "finish_reason");
  piece.finished = piece.finished || is_text(reason);
  if (endpoint == Endpoint::kCompletions) {
    const Json& text = member(choice, "text");
    if (text.is_string()) piece.text += text.get_ref<const std::string&>();
    // A token may have no text, as a special one; what only ends the answer is none.
    piece.has_token = piece.has_token || is_text(text) || !is_text(reason);
    return;
  }
  const Json& delta = member(choice, "delta");
  const Json& content = member(delta, "content");
  if (content.is_string()) piece.text += content.get_ref<const std::string&>();
  const Json& calls = member(delta, "tool_calls");
  piece.has_token = piece.has_token || is_text(content) ||
                    is_text(member(delta, "reasoning_content")) ||
                    is_text(member(delta, "reasoning")) || (calls.is_array() && !calls.empty());
}

}  // namespace

const char* endpoint_path(Endpoint endpoint) {
  return endpoint == Endpoint::kChat ? "/v1/chat/completions" : "/v1/completions";
}

std::string request_body(const AskOptions& options, const std::vector<ChatMessage>& history,
                         const LoadPrompt& prompt) {
  Json body = {{"model", options.model}};
  if (options.endpoint == Endpoint::kChat) {
    Json& messages = body["messages"] = Json::array();
    for (const ChatMessage& message : history) {
      messages.push_back({{"role", message.role}, {"content", message.content}});
    }
    messages.push_back({{"role", "user"}, {"content", prompt.text}});
  } else if (!prompt.ids.empty()) {
    body["prompt"] = prompt.ids;
  } else {
    std::string text;
    for (const ChatMessage& message : history) text += message.content;
    body["prompt"] = text + prompt.text;
  }
  body["max_tokens"] = prompt.max_tokens;
  body["stream"] = true;
  body["stream_options"] = {{"include_usage", true}};
  if (options.ignore_eos) body["ignore_eos"] = true;
  body.update(options.extra);
  return json_line(body);
}

StreamPiece read_stream_event(Endpoint endpoint, const std::string& data) {
  StreamPiece piece;
  if (data == "[DONE]") {
    piece.done = true;
    return piece;
  }
  const Json json = parse_json(data, "an event of the stream");
  const Json& error = member(json, "error");
  if (!error.is_null()) {
    piece.error = error_text(data);
    return piece;
  }
  const Json& choices = member(json, "choices");
  const Json& usage = member(json, "usage");
  if (!choices.is_array() && !usage.is_object()) {
    fail(ErrorCode::kCorrupt, "an event of the stream has neither choices nor usage: {}",
         shown(data));
  }
  if (choices.is_array()) {
    for (const Json& choice : choices) read_choice(endpoint, choice, piece);
  }
  if (usage.is_object()) {
    piece.usage = StreamUsage{
        .prompt_tokens = count(usage, "prompt_tokens"),
        .completion_tokens = count(usage, "completion_tokens"),
        .cached_tokens = count(member(usage, "prompt_tokens_details"), "cached_tokens")};
  }
  return piece;
}

std::string error_text(const std::string& body) {
  try {
    const Json json = parse_json(body, "an answer");
    const Json& error = member(json, "error");
    const Json& message = error.is_object() ? member(error, "message") : member(json, "message");
    if (message.is_string()) return message.get<std::string>().substr(0, 4 * kShownBytes);
    if (is_text(error)) return error.get<std::string>().substr(0, 4 * kShownBytes);
  } catch (const Error&) {  // a text, then
  }
  return body.empty() ? "no text" : shown(body);
}

}  // namespace tq
