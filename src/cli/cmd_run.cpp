// tq run: one prompt, one answer.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/generate.h"
#include "cli/model_options.h"
#include "cli/reasoning_options.h"
#include "cli/sampling_options.h"

namespace tq {
namespace {

struct RunOptions {
  ModelOptions model;
  SamplingOptions sampling;
  ReasoningOptions reasoning;
  std::optional<std::string> prompt;
  std::string file;
  std::string tokens;
  std::string system;
  bool raw = false;
};

std::string read_stdin() {
  if (isatty(STDIN_FILENO) != 0) info("Type the prompt; end it with Ctrl-D.");
  return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
}

std::string prompt_text(const RunOptions& options) {
  if (!options.file.empty()) return read_text_file(options.file);
  if (options.prompt && *options.prompt != "-") return *options.prompt;
  return read_stdin();
}

// Where there is no chat template.
void refuse_template_options(const RunOptions& options, const char* why) {
  for (const auto& [value, name] :
       {std::pair(&options.system, "--system"), std::pair(&options.reasoning.think, "--think")}) {
    if (!value->empty()) {
      fail(ErrorCode::kInvalidArgument, "{} needs a chat template: {}", name, why);
    }
  }
}

Prompt make_prompt(const RunOptions& options, const LoadedModel& loaded) {
  if (!options.tokens.empty()) {
    refuse_template_options(options, "--tokens uses none");
    return {.ids = read_token_file(options.tokens, loaded.model->spec().vocab)};
  }
  if (!loaded.tokenizer) {
    fail(ErrorCode::kInvalidArgument,
         "{} has no tokenizer.json: give the prompt as token ids with --tokens",
         options.model.path);
  }
  const auto chat_template = options.raw ? nullptr : loaded.chat_template();
  if (!chat_template) {
    refuse_template_options(options, options.raw ? "--raw uses none" : "this model has none");
    return text_prompt(*loaded.tokenizer, prompt_text(options));
  }
  Json messages = Json::array();
  if (!options.system.empty()) {
    messages.push_back({{"role", "system"}, {"content", options.system}});
  }
  messages.push_back({{"role", "user"}, {"content", prompt_text(options)}});
  return chat_prompt(*loaded.tokenizer, *chat_template, messages,
                     options.reasoning.template_variables(*chat_template));
}

Json report(const Generation& result, bool has_reasoning, const LoadedModel& loaded) {
  const RequestStats& stats = result.stats;
  Json json;
  if (has_reasoning) json["reasoning"] = result.reasoning;
  if (loaded.tokenizer) json["text"] = result.text;
  json["ids"] = result.ids;
  json["finish_reason"] = finish_reason_name(result.finish);
  json["prompt_tokens"] = stats.prompt_tokens;
  json["generated_tokens"] = stats.generated_tokens;
  json["timings"] = {{"load_s", loaded.load_seconds},
                     {"prefill_s", stats.prefill_seconds},
                     {"prefill_tokens_per_s", stats.prefill_rate()},
                     {"decode_s", stats.decode_seconds},
                     {"decode_tokens_per_s", stats.decode_rate()}};
  return json;
}

void run_run(const RunOptions& options, const GlobalOptions& global) {
  const LoadedModel loaded = open_model(options.model, {}, global);
  Prompt prompt = make_prompt(options, loaded);
  const bool has_reasoning = prompt.parser.has_value();
  Request request;
  request.sampling = options.sampling.over(loaded.sampling);
  if (!options.sampling.max_tokens) {
    request.sampling.max_tokens =
        default_max_tokens(loaded.model->options().max_context, prompt.ids.size());
  }
  Engine engine(*loaded.model, loaded.tokenizer, loaded.eos_ids,
                {.kv_dtype = options.model.kv(), .suppressed_ids = loaded.not_text});
  AnswerPrinter printer(options.reasoning);
  const Generation result =
      generate(engine, std::move(request), std::move(prompt), [&](const ReasoningPiece& piece) {
        if (!global.json) printer.print(piece);
      });
  if (global.json) {
    print_json(report(result, has_reasoning, loaded));
  } else if (loaded.tokenizer) {
    print_text("\n");
  } else {
    print_text(fmt::format("{}\n", fmt::join(result.ids, " ")));
  }
  info("load {:.2f} s; {}", loaded.load_seconds, describe_rates(result.stats));
  if (result.finish == FinishReason::kCancelled) {
    fail(ErrorCode::kCancelled, "interrupted: the output is incomplete");
  }
  if (result.finish == FinishReason::kLength && !options.sampling.max_tokens) {
    info("stopped after {} tokens; -n sets the limit", result.ids.size());
  }
}

}  // namespace

void add_run(CLI::App& app, const GlobalOptions& global) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command = app.add_subcommand("run", "Answer one prompt");
  options->model.ctx = kLongestContext;
  add_model_options(*command, options->model, std::to_string(ModelNeeds{}.default_ctx));
  CLI::Option* prompt = command->add_option(
      "PROMPT", options->prompt, "Text of the prompt; absent or '-' reads it from stdin");
  CLI::Option* file = command->add_option("--file", options->file, "Read the prompt from this file")
                          ->excludes(prompt);
  command->add_option("--tokens", options->tokens, "Prompt as a JSON file with a list of token ids")
      ->excludes(prompt)
      ->excludes(file);
  command->add_option("--system", options->system, "System message for the chat template");
  command->add_flag("--raw", options->raw,
                    "Feed the prompt as it is instead of through the model's chat template");
  add_reasoning_options(*command, options->reasoning);
  add_sampling_options(*command, options->sampling);
  command->callback([options, &global] { run_run(*options, global); });
}

}  // namespace tq
