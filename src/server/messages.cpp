// Messages and tools of a chat, as OpenAI's clients send them, made into what templates take.
#include <fmt/format.h>

#include "base/error.h"
#include "server/api_request.h"
#include "server/fields.h"
#include "server/tools/read_text.h"

namespace tq {
namespace {

using enum FieldType;

constexpr double kMostTools = 256;
constexpr double kMostCalls = 256;
constexpr double kMostParts = 4096;

[[noreturn]] void refuse(const std::string& param, const std::string& message,
                         const char* code = "invalid_value") {
  throw ApiError(400, message, param, code);
}

}  // namespace

std::string join_text_parts(const Json& parts, const std::string& where) {
  check_field(where, kArray, 0, kMostParts, parts);
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string name = fmt::format("{}[{}]", where, i);
    if (i > 0) text += "\n";
    if (parts[i].is_string()) {
      text += parts[i].get<std::string>();
      continue;
    }
    check_field(name, kObject, 0, kNoLimit, parts[i]);
    const Json type = parts[i].value("type", Json());
    if (type != Json("text") && type != Json("input_text") && type != Json("output_text") &&
        type != Json("reasoning_text") && type != Json("summary_text") && type != Json("refusal")) {
      refuse(name,
             fmt::format("{} is a part of type {}: this model takes text only", name,
                         json_for_message(type)),
             "unsupported_content");
    }
    const Json content = parts[i].value(type == Json("refusal") ? "refusal" : "text", Json());
    check_field(name + ".text", kString, 0, kNoLimit, content);
    text += content.get<std::string>();
  }
  return text;
}

namespace {

// Templates write arguments out as JSON, so a text that is an object becomes one.
void read_call(Json& call, const std::string& where) {
  check_field(where, kObject, 1, kNoLimit, call);
  const auto function = call.find("function");
  if (function == call.end()) refuse(where, where + " has no function");
  check_field(where + ".function", kObject, 1, kNoLimit, *function);
  check_field(where + ".function.name", kString, 1, 256, function->value("name", Json()));
  const auto arguments = function->find("arguments");
  if (arguments == function->end() || !arguments->is_string()) return;
  const auto text = arguments->get<std::string>();
  try {
    Json object = parse_json(text.empty() ? "{}" : text, "arguments");
    if (object.is_object()) *arguments = std::move(object);
  } catch (const Error&) {
    // The template gets the text.
  }
}

Json read_message(const Json& given, const std::string& where) {
  check_field(where, kObject, 1, kNoLimit, given);
  Json message = given;
  const Json role = given.value("role", Json());
  check_field(where + ".role", kString, 1, 64, role);
  if (role == Json("developer")) message["role"] = "system";
  const auto content = message.find("content");
  if (content != message.end() && content->is_array()) {
    *content = join_text_parts(*content, where + ".content");
  } else if (content != message.end() && !content->is_null()) {
    check_field(where + ".content", kString, 0, kNoLimit, *content);
  } else if (role != Json("assistant")) {
    refuse(where + ".content", where + " has no content");
  }
  for (const char* key : {"reasoning_content", "reasoning"}) {
    const auto reasoning = message.find(key);
    if (reasoning == message.end() || reasoning->is_null()) continue;
    check_field(where + "." + key, kString, 0, kNoLimit, *reasoning);
    message["reasoning_content"] = Json(*reasoning);
  }
  if (const auto calls = message.find("tool_calls"); calls != message.end() && !calls->is_null()) {
    check_field(where + ".tool_calls", kArray, 0, kMostCalls, *calls);
    for (size_t i = 0; i < calls->size(); ++i) {
      read_call((*calls)[i], fmt::format("{}.tool_calls[{}]", where, i));
    }
    if (calls->empty()) message.erase("tool_calls");
  } else if (calls != message.end()) {
    message.erase("tool_calls");
  }
  return message;
}

}  // namespace

Json read_messages(const Json& messages) {
  Json read = Json::array();
  for (size_t i = 0; i < messages.size(); ++i) {
    read.push_back(read_message(messages[i], fmt::format("messages[{}]", i)));
  }
  return read;
}

void read_tools(const Json& body, ApiRequest& request) {
  const Json tools = body.value("tools", Json());
  const bool has_tools = !tools.is_null() && !tools.empty();
  if (!tools.is_null()) check_field("tools", kArray, 0, kMostTools, tools);
  for (size_t i = 0; has_tools && i < tools.size(); ++i) {
    const std::string where = fmt::format("tools[{}]", i);
    check_field(where, kObject, 1, kNoLimit, tools[i]);
    const Json type = tools[i].value("type", Json());
    if (type != Json("function")) {
      refuse(where, fmt::format("{} is of type {}: only \"function\" is known", where,
                                json_for_message(type)));
    }
    const Json function = tools[i].value("function", Json());
    check_field(where + ".function", kObject, 1, kNoLimit, function);
    check_field(where + ".function.name", kString, 1, 256, function.value("name", Json()));
  }
  const Json choice = body.value("tool_choice", Json());
  if (has_tools && choice != Json("none")) request.tools = tools;
  if (choice.is_null() || choice == Json("auto") || choice == Json("none")) return;
  constexpr const char* kField = "tool_choice";
  request.must_call = true;
  if (choice.is_object()) {
    const Json function = choice.value("function", Json());
    check_field("tool_choice.function", kObject, 1, kNoLimit, function);
    const Json name = function.value("name", Json());
    check_field("tool_choice.function.name", kString, 1, 256, name);
    request.must_call_name = name.get<std::string>();
    if (!has_tool(request.tools, request.must_call_name)) {
      refuse(kField,
             fmt::format("tool_choice names {}: there is no such tool", json_for_message(name)));
    }
  } else if (choice != Json("required")) {
    refuse(kField, fmt::format("tool_choice is {}: it is \"auto\", \"none\", \"required\" or names "
                               "a function",
                               json_for_message(choice)));
  }
  if (!has_tools) refuse(kField, "tool_choice needs tools");
}

}  // namespace tq
