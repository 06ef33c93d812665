// tq run: one prompt, one answer.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/answer_printer.h"
#include "cli/command.h"
#include "cli/generate.h"
#include "cli/input.h"
#include "cli/model_options.h"
#include "cli/option_flags.h"
#include "cli/reasoning_options.h"
#include "cli/result.h"
#include "cli/template_options.h"
#include "session/thinking_budget.h"

namespace tq {
namespace {

struct RunOptions {
  ModelOptions model;
  SamplingOptions sampling;
  GrammarOptions grammar;
  ReasoningOptions reasoning;
  TemplateOptions chat_template;
  std::optional<std::string> prompt;
  std::string file;
  std::string tokens;
  std::string system;
  bool raw = false;
};

std::string given_text(const RunOptions& options) {
  if (!options.file.empty()) return read_text_file(options.file);
  if (options.prompt && *options.prompt != "-") return *options.prompt;
  return read_stdin("the prompt");
}

std::string prompt_text(const RunOptions& options) {
  std::string text = given_text(options);
  if (text.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "the prompt is empty: give a text, --file FILE with one, or one on stdin");
  }
  return text;
}

// Where there is no chat template.
void refuse_template_options(const RunOptions& options, const char* why) {
  if (options.chat_template.any()) {
    fail(ErrorCode::kInvalidArgument,
         "--chat-template, --messages, --tools and --var need a chat template: {}", why);
  }
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
  if (options.raw) {
    refuse_template_options(options, "--raw uses none");
    return text_prompt(*loaded.tokenizer, prompt_text(options));
  }
  GivenChat conversation = read_conversation(options.chat_template);
  const auto chat_template =
      open_chat_template(*loaded.checkpoint, options.chat_template.chat_template,
                         !conversation.render.tools.is_null());
  if (!chat_template) {
    refuse_template_options(options, "this model has none");
    info(
        "{} has no chat template: the prompt is fed as it is, as by --raw (--chat-template FILE "
        "gives one)",
        options.model.path);
    return text_prompt(*loaded.tokenizer, prompt_text(options));
  }
  conversation.render.extra.update(options.reasoning.template_variables(*chat_template));
  if (conversation.messages.is_null()) {
    conversation.messages = user_messages(options.system, prompt_text(options));
  }
  return chat_prompt(*loaded.tokenizer, *chat_template, conversation.messages, conversation.render);
}

Json report(const Generation& result, bool has_reasoning, const LoadedModel& loaded,
            const SamplingParams& sampling) {
  const RequestStats& stats = result.stats;
  Json json;
  if (has_reasoning) json["reasoning"] = result.reasoning;
  if (loaded.tokenizer) json["text"] = result.text;
  json["ids"] = result.ids;
  json["finish_reason"] = finish_reason_name(result.finish);
  json["prompt_tokens"] = stats.prompt_tokens;
  json["generated_tokens"] = stats.generated_tokens;
  json["sampling"] = sampling_json(sampling);
  json["timings"] = {{"load_s", loaded.load_seconds},
                     {"prefill_s", stats.prefill_seconds},
                     {"prefill_tokens_per_s", stats.prefill_rate()},
                     {"decode_s", stats.decode_seconds},
                     {"decode_tokens_per_s", stats.decode_rate()}};
  return json;
}

// What --grammar, --json-schema or --regex ask for; null: nothing.
std::shared_ptr<Constraint> constraint_of(const RunOptions& options, const LoadedModel& loaded,
                                          const Prompt& prompt) {
  const auto source = options.grammar.source();
  if (!source) return nullptr;
  if (!loaded.tokenizer) {
    fail(ErrorCode::kInvalidArgument, "{} has no tokenizer.json, which grammars need",
         options.model.path);
  }
  Grammars grammars(loaded.tokenizer, loaded.not_text);
  return grammars.constrain(grammars.get(*source), prompt.parser);
}

void run_run(const RunOptions& options, const GlobalOptions& global) {
  const LoadedModel loaded = open_model(options.model, {.text = options.tokens.empty()}, global);
  Prompt prompt = make_prompt(options, loaded);
  const bool has_reasoning = prompt.parser.has_value();
  Request request;
  request.sampling = options.sampling.over(loaded.sampling);
  request.sampling.max_tokens = most_tokens(options.sampling.max_tokens,
                                            loaded.model->options().max_context, prompt.ids.size());
  const SamplingParams sampling = request.sampling;
  request.constraint = constraint_of(options, loaded, prompt);
  if (const auto budget = options.sampling.thinking_budget) {
    request.constraint =
        limit_thinking(*budget, prompt.parser, loaded.tokenizer, std::move(request.constraint));
  }
  info("{}", describe_sampling(sampling, options.sampling, loaded.sampling));
  Service service(*loaded.model, loaded.tokenizer, loaded.eos_ids,
                  {.kv_format = options.model.kv(), .suppressed_ids = loaded.not_text});
  Json head = result_json("run", options.model, loaded);
  head["seed"] = request.sampling.seed;
  if (global.jsonl) print_json(typed("start", head));
  AnswerPrinter printer(options.reasoning);
  const Generation result = generate(service, std::move(request), std::move(prompt), global,
                                     [&](const ReasoningPiece& piece) {
                                       if (global.jsonl) {
                                         print_json(piece_json(piece));
                                       } else if (!global.json) {
                                         printer.print(piece);
                                       }
                                     });
  printer.finish();
  if (global.json) {
    head.update(report(result, has_reasoning, loaded, sampling));
    print_json(global.jsonl ? typed("result", head) : head);
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
  CLI::Option* tokens = command
                            ->add_option("--tokens", options->tokens,
                                         "Prompt as a JSON file with a list of token ids")
                            ->excludes(prompt)
                            ->excludes(file);
  CLI::Option* system =
      command->add_option("--system", options->system, "System message for the chat template");
  command->add_flag("--raw", options->raw,
                    "Feed the prompt as it is instead of through the model's chat template");
  add_template_options(*command, options->chat_template);
  command->get_option("--messages")
      ->excludes(prompt)
      ->excludes(file)
      ->excludes(tokens)
      ->excludes(system);
  add_reasoning_options(*command, options->reasoning);
  add_sampling_options(*command, options->sampling);
  visit_options(options->grammar, OptionFlags(*command, "What the answer must be (one of them)"));
  add_examples(*command,
               {"tq run ./Qwen3-8B \"Why is the sky blue?\"",
                "tq run model.gguf --file prompt.txt -n 200 --temp 0.7 --seed 1",
                "tq run ./Qwen3-8B \"Three colours\" --json-schema '{\"type\":\"array\"}'",
                "git diff | tq run ./Qwen3-8B - --system \"Review this change.\" --format tq4",
                "tq run ./Qwen3-8B \"Hello\" --json"});
  command->callback([options, &global] { run_run(*options, global); });
}

}  // namespace tq
