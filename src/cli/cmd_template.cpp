// tq template: the prompt that a chat template makes of a conversation, without loading weights.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "cli/command.h"
#include "cli/input.h"
#include "cli/reasoning_options.h"
#include "cli/result.h"
#include "cli/template_options.h"
#include "cli/values.h"
#include "session/load.h"
#include "session/prompt.h"

namespace tq {
namespace {

struct TemplateCommand {
  std::string model;
  std::optional<std::string> prompt;
  std::string system;
  std::string think;
  TemplateOptions chat_template;
  bool tokens = false;
  bool source = false;
  bool list = false;
};

void print_list(const ChatTemplates& templates, bool json) {
  if (json) {
    Json result = result_json("template");
    result["templates"] = templates.names();
    return print_json(result);
  }
  std::string lines;
  for (const std::string& name : templates.names()) lines += name + "\n";
  print_text(lines);
}

// The user's prompt as messages, where no file has them.
Json prompt_messages(const TemplateCommand& options) {
  const bool from_stdin = !options.prompt || *options.prompt == "-";
  return user_messages(options.system, from_stdin ? read_stdin("the prompt") : *options.prompt);
}

void run_template(const TemplateCommand& options, const GlobalOptions& global) {
  // A model that cannot be run has templates all the same.
  const auto checkpoint = open_checkpoint(options.model, {.inspect = true});
  if (options.list) return print_list(read_chat_templates(*checkpoint), global.json);
  GivenChat conversation = read_conversation(options.chat_template);
  const auto chat_template = open_chat_template(*checkpoint, options.chat_template.chat_template,
                                                !conversation.render.tools.is_null());
  if (!chat_template) {
    fail(ErrorCode::kNotFound, "{} has no chat template; --chat-template FILE gives one",
         options.model);
  }
  if (options.source) return print_text(chat_template->source());
  const ReasoningOptions reasoning{.think = options.think};
  conversation.render.extra.update(reasoning.template_variables(*chat_template));
  if (conversation.messages.is_null()) conversation.messages = prompt_messages(options);
  const std::string text = chat_template->render(conversation.messages, conversation.render);
  if (!options.tokens && !global.json) return print_text(text);

  const auto tokenizer = read_tokenizer(*checkpoint);
  if (!tokenizer && options.tokens) {
    fail(ErrorCode::kNotFound, "{} has no tokenizer.json: --tokens needs one", options.model);
  }
  std::vector<int32_t> ids;
  if (tokenizer) ids = tokenizer->encode(text, {.add_special = false, .parse_special = true});
  if (!global.json) return print_text(fmt::format("[{}]\n", fmt::join(ids, ", ")));
  Json json = result_json("template");
  json["model"] = options.model;
  json["prompt"] = text;
  if (tokenizer) json["ids"] = ids;
  print_json(json);
}

}  // namespace

void add_template(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command =
      app.add_subcommand("template", "Print the prompt that a chat template makes of messages");
  const auto options = std::make_shared<TemplateCommand>();
  command->add_option("MODEL", options->model, "Checkpoint folder or GGUF file")->required();
  CLI::Option* prompt = command->add_option(
      "PROMPT", options->prompt, "Text of a user message; absent or '-' reads it from stdin");
  CLI::Option* system = command->add_option("--system", options->system, "System message");
  command
      ->add_option("--think", options->think,
                   "Whether to think; without it as the model's chat template has it")
      ->check(one_of({"on", "off"}));
  add_template_options(*command, options->chat_template);
  command->get_option("--messages")->excludes(prompt)->excludes(system);
  command->add_flag("--tokens", options->tokens,
                    "Print the prompt's token ids, as run --tokens reads them");
  command->add_flag("--source", options->source, "Print the template itself");
  command->add_flag("--list", options->list, "Print the names of the model's templates");
  add_examples(*command, {"tq template ./Qwen3-8B \"What is the capital of France?\"",
                          "tq template ./Qwen3-8B --messages talk.json --tools tools.json --var "
                          "enable_thinking=false",
                          "tq template ./Qwen3-8B --chat-template my.jinja \"Hi\" --tokens"});
  command->callback([options, &global] { run_template(*options, global); });
}

}  // namespace tq
