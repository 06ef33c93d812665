#include "cli/template_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "cli/input.h"

namespace tq {
namespace {

Json read_json_file(const std::string& path, const char* what) {
  if (path == "-") return parse_json(read_stdin(what), "stdin");
  return parse_json(read_text_file(path), path);
}

// [{...}, ...], or an object with "messages" and perhaps "tools", as chat APIs are sent.
void read_messages(const std::string& path, GivenChat& conversation) {
  Json json = read_json_file(path, "the messages");
  if (json.is_object() && json.contains("messages")) {
    if (json.contains("tools")) conversation.render.tools = json["tools"];
    json = Json(json["messages"]);
  }
  if (!json.is_array() || !std::all_of(json.begin(), json.end(),
                                       [](const Json& message) { return message.is_object(); })) {
    fail(ErrorCode::kInvalidArgument,
         "{}: messages are a JSON list of objects such as {{\"role\": \"user\", \"content\": "
         "\"...\"}}",
         path);
  }
  conversation.messages = std::move(json);
}

// "NAME=VALUE"; what is not JSON is a text.
void add_variable(const std::string& text, Json& variables) {
  const size_t equals = text.find('=');
  if (equals == 0 || equals == std::string::npos) {
    fail(ErrorCode::kInvalidArgument, "--var {}: write it as NAME=VALUE, e.g. enable_thinking=true",
         text);
  }
  const std::string value = text.substr(equals + 1);
  Json json = value;
  if (Json::accept(value)) json = parse_json(value, "--var " + text);
  variables[text.substr(0, equals)] = std::move(json);
}

}  // namespace

bool TemplateOptions::any() const {
  return !chat_template.empty() || !messages.empty() || !tools.empty() || !kwargs.empty() ||
         !variables.empty() || no_generation_prompt;
}

namespace {

constexpr const char* kGroup = "Chat template";

}  // namespace

void add_template_choice(CLI::App& command, std::string& chat_template) {
  command
      .add_option("--chat-template", chat_template,
                  "A named template of the model, or a Jinja file, instead of the model's own")
      ->group(kGroup);
}

void add_template_options(CLI::App& command, TemplateOptions& options) {
  add_template_choice(command, options.chat_template);
  command
      .add_option("--messages", options.messages,
                  "Conversation as a JSON file: a list of {\"role\", \"content\", ...}; - is stdin")
      ->group(kGroup);
  command
      .add_option("--tools", options.tools, "Tools as a JSON file: a list of function descriptions")
      ->group(kGroup);
  command
      .add_option("--var", options.variables,
                  "NAME=VALUE (JSON or text) for the template; may be repeated")
      ->allow_extra_args(false)
      ->group(kGroup);
  command
      .add_option("--chat-template-kwargs", options.kwargs,
                  "Variables for the template as one JSON object")
      ->group(kGroup);
  command
      .add_flag("--no-generation-prompt", options.no_generation_prompt,
                "Do not let the template open the answer")
      ->group(kGroup);
}

GivenChat read_conversation(const TemplateOptions& options) {
  GivenChat conversation;
  if (!options.messages.empty()) read_messages(options.messages, conversation);
  if (!options.tools.empty())
    conversation.render.tools = read_json_file(options.tools, "the tools");
  if (!conversation.render.tools.is_null() && !conversation.render.tools.is_array()) {
    fail(ErrorCode::kInvalidArgument, "{}: tools are a JSON list",
         options.tools.empty() ? options.messages : options.tools);
  }
  if (!options.kwargs.empty()) {
    conversation.render.extra = parse_json(options.kwargs, "--chat-template-kwargs");
    if (!conversation.render.extra.is_object()) {
      fail(ErrorCode::kInvalidArgument, "--chat-template-kwargs {}: not a JSON object",
           options.kwargs);
    }
  }
  for (const std::string& text : options.variables) add_variable(text, conversation.render.extra);
  conversation.render.add_generation_prompt = !options.no_generation_prompt;
  return conversation;
}

}  // namespace tq
