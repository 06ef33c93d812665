#include <fmt/format.h>

#include <array>
#include <utility>

#include "server/fields.h"
#include "server/responses.h"

namespace tq {
namespace {

constexpr double kMostItems = 65536;
constexpr std::string_view kStateless =
    "this server keeps no responses: send the whole conversation as input";

constexpr std::array<RefusedField, 6> kRefusedOfResponses = {{
    {"previous_response_id", kStateless},
    {"conversation", kStateless},
    {"store", kStateless},
    {"background", kStateless},
    {"prompt", "there are no stored prompts"},
    {"top_logprobs", "log probabilities are those of /v1/chat/completions"},
}};

[[noreturn]] void refuse_item(const std::string& where, const Json& type) {
  throw ApiError(
      400,
      fmt::format("{} is of type {}: this server takes messages, calls of functions with "
                  "their outputs, and reasoning",
                  where, json_for_message(type)),
      where, "unsupported_content");
}

// A text, or parts of text.
std::string item_text(const Json& content, const std::string& where) {
  if (content.is_string()) return content.get<std::string>();
  return join_text_parts(content, where);
}

// The items of a conversation, of which several may be one message of a chat: reasoning, a text and
// calls of the assistant.
class InputReader {
 public:
  explicit InputReader(Json& messages) : messages_(messages) {}

  void add(const Json& item, const std::string& where) {
    check_field(where, FieldType::kObject, 1, kNoLimit, item);
    const Json type = item.value("type", Json("message"));
    if (type == Json("message")) {
      add_message(item, where);
    } else if (type == Json("function_call")) {
      add_call(item, where);
    } else if (type == Json("function_call_output")) {
      const Json output = item.value("output", Json());
      messages_.push_back({{"role", "tool"},
                           {"tool_call_id", item.value("call_id", Json(""))},
                           {"content", item_text(output, where + ".output")}});
      open_ = false;
    } else if (type == Json("reasoning")) {
      add_reasoning(item, where);
    } else {
      refuse_item(where, type);
    }
  }

 private:
  void add_message(const Json& item, const std::string& where) {
    const Json role = item.value("role", Json());
    const std::string text = item_text(item.value("content", Json()), where + ".content");
    const bool is_assistant = role == Json("assistant");
    if (is_assistant && open_ && !messages_.back().contains("content") &&
        !messages_.back().contains("tool_calls")) {
      messages_.back()["content"] = text;
      return;
    }
    messages_.push_back({{"role", role}, {"content", text}});
    open_ = is_assistant;
  }

  void add_call(const Json& item, const std::string& where) {
    check_field(where + ".name", FieldType::kString, 1, 256, item.value("name", Json()));
    const Json arguments = item.value("arguments", Json("{}"));
    check_field(where + ".arguments", FieldType::kString, 0, kNoLimit, arguments);
    open_assistant()["tool_calls"].push_back(
        {{"id", item.value("call_id", Json(""))},
         {"type", "function"},
         {"function", {{"name", item["name"]}, {"arguments", arguments}}}});
  }

  void add_reasoning(const Json& item, const std::string& where) {
    std::string text;
    for (const char* key : {"content", "summary"}) {
      const Json parts = item.value(key, Json());
      if (text.empty() && !parts.is_null()) text = item_text(parts, where + "." + key);
    }
    if (text.empty()) return;  // encrypted for another server
    open_ = false;
    open_assistant()["reasoning_content"] = text;
  }

  Json& open_assistant() {
    if (!open_) messages_.push_back({{"role", "assistant"}});
    open_ = true;
    return messages_.back();
  }

  Json& messages_;
  bool open_ = false;  // the last message is the assistant's, and may go on
};

Json messages_of_input(const Json& body) {
  Json messages = Json::array();
  if (const Json given = body.value("instructions", Json()); !given.is_null()) {
    check_field("instructions", FieldType::kString, 0, kNoLimit, given);
    messages.push_back({{"role", "system"}, {"content", given}});
  }
  const Json input = body.value("input", Json());
  if (input.is_null()) {
    throw ApiError(400, "the request has no input", "input", "missing_required_parameter");
  }
  if (input.is_string()) {
    messages.push_back({{"role", "user"}, {"content", input}});
    return messages;
  }
  check_field("input", FieldType::kArray, 1, kMostItems, input);
  InputReader reader(messages);
  for (size_t i = 0; i < input.size(); ++i) reader.add(input[i], fmt::format("input[{}]", i));
  return messages;
}

Json tools_of_response(const Json& given) {
  check_field("tools", FieldType::kArray, 0, 256, given);
  Json tools = Json::array();
  for (size_t i = 0; i < given.size(); ++i) {
    const std::string where = fmt::format("tools[{}]", i);
    check_field(where, FieldType::kObject, 1, kNoLimit, given[i]);
    const Json type = given[i].value("type", Json());
    if (type != Json("function")) {
      throw ApiError(400,
                     fmt::format("{} is of type {}: this server runs no tools itself", where,
                                 json_for_message(type)),
                     where, "unsupported_parameter");
    }
    Json function = Json::object();
    for (const char* key : {"name", "description", "parameters", "strict"}) {
      const auto found = given[i].find(key);
      if (found != given[i].end() && !found->is_null()) function[key] = *found;
    }
    tools.push_back({{"type", "function"}, {"function", std::move(function)}});
  }
  return tools;
}

// {"type": "json_schema", "name", "schema", "strict"} as a chat has it.
Json response_format_of(const Json& text) {
  check_field("text", FieldType::kObject, 0, 64, text);
  const Json format = text.value("format", Json());
  if (format.is_null()) return format;
  check_field("text.format", FieldType::kObject, 1, 64, format);
  if (format.value("type", Json()) != Json("json_schema")) return format;
  Json schema = format;
  schema.erase("type");
  return {{"type", "json_schema"}, {"json_schema", std::move(schema)}};
}

}  // namespace

Json chat_body_of_response(const Json& body) {
  refuse_fields(body, kRefusedOfResponses);
  if (body.value("truncation", Json("disabled")) == Json("auto")) {
    throw ApiError(400, "truncation: prompts are never cut", "truncation", "unsupported_parameter");
  }
  Json chat = Json::object();
  for (const char* key :
       {"model", "stream", "temperature", "top_p", "top_k", "min_p", "seed", "stop", "priority",
        "presence_penalty", "frequency_penalty", "repetition_penalty", "logit_bias", "ignore_eos",
        "min_tokens", "parallel_tool_calls", "chat_template_kwargs", "thinking_budget",
        "thinking_token_budget"}) {
    const auto found = body.find(key);
    if (found != body.end()) chat[key] = *found;
  }
  if (const Json most = body.value("max_output_tokens", Json()); !most.is_null()) {
    check_field("max_output_tokens", FieldType::kInteger, 1, 2147483647, most);
    chat["max_tokens"] = most;
  }
  chat["messages"] = messages_of_input(body);
  if (const Json tools = body.value("tools", Json()); !tools.is_null()) {
    chat["tools"] = tools_of_response(tools);
  }
  if (Json choice = body.value("tool_choice", Json()); !choice.is_null()) {
    if (choice.is_object() && choice.contains("name")) {
      choice = {{"type", "function"}, {"function", {{"name", choice["name"]}}}};
    }
    chat["tool_choice"] = choice;
  }
  if (const Json text = body.value("text", Json()); !text.is_null()) {
    if (Json format = response_format_of(text); !format.is_null()) {
      chat["response_format"] = std::move(format);
    }
  }
  if (const Json reasoning = body.value("reasoning", Json()); !reasoning.is_null()) {
    chat["reasoning"] = reasoning;
  }
  return chat;
}

}  // namespace tq
