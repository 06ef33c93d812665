#include <fmt/format.h>

#include <array>
#include <utility>

#include "server/anthropic.h"
#include "server/fields.h"

namespace tq {
namespace {

constexpr double kMostBlocks = 4096;

[[noreturn]] void refuse_block(const std::string& where, const Json& type) {
  throw ApiError(400,
                 fmt::format("{} is a block of type {}: this model takes text, and calls of tools "
                             "with their results",
                             where, json_for_message(type)),
                 where, "unsupported_content");
}

// A text, or blocks of type text, one below the other.
std::string text_of(const Json& content, const std::string& where) {
  if (content.is_string()) return content.get<std::string>();
  check_field(where, FieldType::kArray, 0, kMostBlocks, content);
  std::string text;
  for (size_t i = 0; i < content.size(); ++i) {
    const std::string name = fmt::format("{}[{}]", where, i);
    check_field(name, FieldType::kObject, 1, kNoLimit, content[i]);
    const Json type = content[i].value("type", Json());
    if (type != Json("text")) refuse_block(name, type);
    const Json part = content[i].value("text", Json());
    check_field(name + ".text", FieldType::kString, 0, kNoLimit, part);
    text += (i == 0 ? "" : "\n") + part.get<std::string>();
  }
  return text;
}

// One message of blocks, which may be several of a chat: results of tools are messages there.
class MessageReader {
 public:
  MessageReader(const Json& role, std::string where) : where_(std::move(where)) {
    message_["role"] = role;
  }

  void add(const Json& block, size_t i) {
    const std::string name = fmt::format("{}.content[{}]", where_, i);
    check_field(name, FieldType::kObject, 1, kNoLimit, block);
    const Json type = block.value("type", Json());
    if (type == Json("text")) {
      add_text(texts_, block.value("text", Json()), name + ".text");
    } else if (type == Json("thinking")) {
      add_text(thoughts_, block.value("thinking", Json()), name + ".thinking");
    } else if (type == Json("tool_use")) {
      const Json input = block.value("input", Json::object());
      check_field(name + ".input", FieldType::kObject, 0, kNoLimit, input);
      calls_.push_back(
          {{"id", block.value("id", Json(""))},
           {"type", "function"},
           {"function", {{"name", block.value("name", Json())}, {"arguments", input}}}});
    } else if (type == Json("tool_result")) {
      results_.push_back(
          {{"role", "tool"},
           {"tool_call_id", block.value("tool_use_id", Json(""))},
           {"content", text_of(block.value("content", Json("")), name + ".content")}});
    } else if (type != Json("redacted_thinking")) {
      refuse_block(name, type);
    }
  }

  void write(Json& messages) {
    for (Json& result : results_) messages.push_back(std::move(result));
    const bool is_empty = texts_.empty() && calls_.empty() && thoughts_.empty();
    if (is_empty && !results_.empty()) return;
    message_["content"] = texts_.empty() && !calls_.empty() ? Json() : Json(texts_);
    if (!thoughts_.empty()) message_["reasoning_content"] = thoughts_;
    if (!calls_.empty()) message_["tool_calls"] = std::move(calls_);
    messages.push_back(std::move(message_));
  }

 private:
  static void add_text(std::string& text, const Json& more, const std::string& where) {
    check_field(where, FieldType::kString, 0, kNoLimit, more);
    text += (text.empty() ? "" : "\n") + more.get<std::string>();
  }

  std::string where_;
  Json message_ = Json::object();
  std::string texts_;
  std::string thoughts_;
  Json calls_ = Json::array();
  Json results_ = Json::array();
};

Json chat_messages(const Json& body) {
  Json messages = Json::array();
  if (const Json system = body.value("system", Json()); !system.is_null()) {
    messages.push_back({{"role", "system"}, {"content", text_of(system, "system")}});
  }
  const Json given = body.value("messages", Json());
  check_field("messages", FieldType::kArray, 1, 65536, given);
  for (size_t i = 0; i < given.size(); ++i) {
    const std::string where = fmt::format("messages[{}]", i);
    check_field(where, FieldType::kObject, 1, kNoLimit, given[i]);
    const Json role = given[i].value("role", Json());
    const Json content = given[i].value("content", Json());
    if (content.is_string()) {
      messages.push_back({{"role", role}, {"content", content}});
      continue;
    }
    check_field(where + ".content", FieldType::kArray, 1, kMostBlocks, content);
    MessageReader reader(role, where);
    for (size_t block = 0; block < content.size(); ++block) reader.add(content[block], block);
    reader.write(messages);
  }
  return messages;
}

Json chat_tools(const Json& given) {
  check_field("tools", FieldType::kArray, 0, 256, given);
  Json tools = Json::array();
  for (size_t i = 0; i < given.size(); ++i) {
    const std::string where = fmt::format("tools[{}]", i);
    check_field(where, FieldType::kObject, 1, kNoLimit, given[i]);
    const Json type = given[i].value("type", Json("custom"));
    if (type != Json("custom")) {
      throw ApiError(400,
                     fmt::format("{} is of type {}: this server runs no tools itself", where,
                                 json_for_message(type)),
                     where, "unsupported_parameter");
    }
    const Json about = given[i].value("description", Json(""));
    check_field(where + ".description", FieldType::kString, 0, kNoLimit, about);
    const Json schema = given[i].value("input_schema", Json::object());
    check_field(where + ".input_schema", FieldType::kObject, 0, kNoLimit, schema);
    tools.push_back({{"type", "function"},
                     {"function",
                      {{"name", given[i].value("name", Json())},
                       {"description", about},
                       {"parameters", schema}}}});
  }
  return tools;
}

Json chat_tool_choice(const Json& choice) {
  check_field("tool_choice", FieldType::kObject, 1, 16, choice);
  const Json type = choice.value("type", Json());
  if (type == Json("any")) return "required";
  if (type == Json("tool")) {
    return {{"type", "function"}, {"function", {{"name", choice.value("name", Json())}}}};
  }
  if (type != Json("auto") && type != Json("none")) {
    throw ApiError(
        400,
        fmt::format("tool_choice.type is {}: it is \"auto\", \"none\", \"any\" or \"tool\"",
                    json_for_message(type)),
        "tool_choice.type", "invalid_value");
  }
  return type;
}

}  // namespace

Json chat_body_of(const Json& messages_body) {
  Json body = Json::object();
  constexpr std::array<std::pair<const char*, const char*>, 9> kSame = {{
      {"model", "model"},
      {"max_tokens", "max_tokens"},
      {"stream", "stream"},
      {"temperature", "temperature"},
      {"top_p", "top_p"},
      {"top_k", "top_k"},
      {"stop_sequences", "stop"},
      {"chat_template_kwargs", "chat_template_kwargs"},
      {"priority", "priority"},
  }};
  for (const auto& [theirs, ours] : kSame) {
    const auto found = messages_body.find(theirs);
    if (found != messages_body.end()) body[ours] = *found;
  }
  body["messages"] = chat_messages(messages_body);
  if (const Json tools = messages_body.value("tools", Json()); !tools.is_null()) {
    body["tools"] = chat_tools(tools);
  }
  if (const Json choice = messages_body.value("tool_choice", Json()); !choice.is_null()) {
    body["tool_choice"] = chat_tool_choice(choice);
    const Json alone = choice.value("disable_parallel_tool_use", Json(false));
    check_field("tool_choice.disable_parallel_tool_use", FieldType::kBool, 0, 0, alone);
    body["parallel_tool_calls"] = !alone.get<bool>();
  }
  if (const Json thinking = messages_body.value("thinking", Json()); !thinking.is_null()) {
    check_field("thinking", FieldType::kObject, 1, 16, thinking);
    Json& variables = body["chat_template_kwargs"];
    if (!variables.is_null()) {
      check_field("chat_template_kwargs", FieldType::kObject, 0, 256, variables);
    }
    const bool thinks = thinking.value("type", Json()) != Json("disabled");
    variables["enable_thinking"] = thinks;
    const Json budget = thinking.value("budget_tokens", Json());
    if (thinks && !budget.is_null()) {
      check_field("thinking.budget_tokens", FieldType::kInteger, 0, 2147483647, budget);
      body["thinking_budget"] = budget;
    }
  }
  return body;
}

}  // namespace tq
