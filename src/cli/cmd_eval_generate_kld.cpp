// tq eval generate-kld: divergence from another model on what a model writes itself.
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/command.h"
#include "cli/eval_text.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/result.h"
#include "cli/table.h"
#include "cli/values.h"
#include "eval/scenario.h"
#include "eval/self_kld.h"
#include "session/prompt.h"

namespace tq {
namespace {

struct GenerateKldOptions {
  EvalOptions eval;  // model, text and reference
  int64_t prompts = 20;
  int64_t prompt_tokens = 64;
  int64_t max_tokens = 64;
  std::string writer = "model";
};

using Prompts = std::vector<std::vector<int32_t>>;

// Pieces of the text, evenly apart.
Prompts cut_prompts(const GenerateKldOptions& options, const TextIds& ids) {
  const auto length = static_cast<size_t>(options.prompt_tokens);
  if (ids.ids.size() < length) {
    fail(ErrorCode::kInvalidArgument, "{} tokens are fewer than the {} of one prompt",
         ids.ids.size(), length);
  }
  const size_t n = std::min(static_cast<size_t>(options.prompts), ids.ids.size() / length);
  const size_t last = ids.ids.size() - length;
  Prompts prompts;
  for (size_t i = 0; i < n; ++i) {
    const size_t begin = n < 2 ? 0 : i * last / (n - 1);
    std::vector<int32_t> prompt = ids.prefix;
    prompt.insert(prompt.end(), ids.ids.begin() + static_cast<std::ptrdiff_t>(begin),
                  ids.ids.begin() + static_cast<std::ptrdiff_t>(begin + length));
    prompts.push_back(std::move(prompt));
  }
  return prompts;
}

// The first turns of the built-in scenarios, through the chat template.
Prompts chat_prompts(const GenerateKldOptions& options, const LoadedModel& loaded) {
  const auto chat_template = open_chat_template(*loaded.checkpoint, "", false);
  if (!loaded.tokenizer || !chat_template) {
    fail(ErrorCode::kInvalidArgument,
         "{} has no chat template for the built-in prompts: give --text FILE or --tokens FILE.json",
         options.eval.model.path);
  }
  Prompts prompts;
  for (const Scenario& scenario : built_in_scenarios()) {
    if (static_cast<int64_t>(prompts.size()) == options.prompts) break;
    const Json messages = user_messages(scenario.system, scenario.turns[0].user);
    prompts.push_back(chat_prompt(*loaded.tokenizer, *chat_template, messages, Json::object()).ids);
  }
  return prompts;
}

void check_room(const Prompts& prompts, const GenerateKldOptions& options,
                const LoadedModel& loaded) {
  size_t longest = 0;
  for (const auto& prompt : prompts) longest = std::max(longest, prompt.size());
  const int64_t needed = static_cast<int64_t>(longest) + options.max_tokens;
  if (needed > loaded.model->options().max_context) {
    fail(ErrorCode::kInvalidArgument, "{} tokens of prompt and answer are more than --ctx {}",
         needed, loaded.model->options().max_context);
  }
}

void print_self_kld(const SelfKld& result, const GenerateKldOptions& options, size_t n_prompts,
                    Json json, const GlobalOptions& global) {
  if (global.json) {
    Json places = Json::array();
    for (size_t i = 0; i < result.by_place.size(); ++i) {
      places.push_back({{"first", places_of(i).first},
                        {"last", places_of(i).second},
                        {"kld", result.by_place[i].mean()},
                        {"kld_se", result.by_place[i].standard_error()},
                        {"tokens", result.by_place[i].n()}});
    }
    json.update({{"writer", options.writer},
                 {"seed", 0},
                 {"prompts", n_prompts},
                 {"tokens", result.kld.n()},
                 {"kld", result.kld.mean()},
                 {"kld_se", result.kld.standard_error()},
                 {"same_top1", result.same_top1.mean()},
                 {"same_top1_se", result.same_top1.standard_error()},
                 {"agreed_tokens", result.agreed.mean()},
                 {"agreed_tokens_se", result.agreed.standard_error()},
                 {"whole", result.whole},
                 {"by_place", std::move(places)}});
    return print_json(json);
  }
  Table table({{"measure", Table::Align::kLeft}, {"value"}, {"+-"}});
  const auto add = [&](const std::string& name, const RunningMean& mean) {
    table.add_row(
        {name, fmt::format("{:.6f}", mean.mean()), fmt::format("{:.6f}", mean.standard_error())});
  };
  add("mean KL divergence (nats)", result.kld);
  for (size_t i = 0; i < result.by_place.size(); ++i) {
    add(fmt::format("  tokens {} to {}", places_of(i).first, places_of(i).second),
        result.by_place[i]);
  }
  add("same top token", result.same_top1);
  add("tokens until the first that differs", result.agreed);
  print_text(
      fmt::format("{}{} of {} continuations are the same to their end; {} tokens, written "
                  "by the {}\n",
                  table.text(), result.whole, n_prompts, result.kld.n(), options.writer));
}

void run_generate_kld(const GenerateKldOptions& options, const GlobalOptions& global) {
  const EvalOptions& eval = options.eval;
  const ModelNeeds needs{
      .default_ctx = kDefaultWindow, .logits_of_all = true, .text = eval.tokens.empty()};
  const LoadedModel loaded = open_model(eval.model, needs, global);
  const LoadedModel reference = open_reference(eval, loaded, global);
  Prompts prompts;
  if (eval.text.empty() && eval.tokens.empty()) {
    prompts = chat_prompts(options, loaded);
    check_same_vocab(eval, loaded, reference);
  } else {
    const TextIds ids = read_ids(eval, loaded);
    check_same_ids(eval, loaded, reference, ids);
    prompts = cut_prompts(options, ids);
  }
  check_room(prompts, options, loaded);
  LogitReader reader = make_reader(loaded);
  LogitReader reference_reader = make_reader(reference);
  const InterruptScope interrupt;
  Progress progress(global, "generating", ProgressUnit::kItems, "tokens");
  const SelfKld result =
      self_kld(reader, reference_reader, options.writer == "reference", prompts,
               {.max_tokens = options.max_tokens,
                .end_ids = loaded.eos_ids,
                .never = loaded.not_text,
                .stops = InterruptScope::interrupted},
               [&](int64_t done, int64_t total) { progress.update(done, total); });
  progress.finish();
  Json header = result_json("eval generate-kld", eval.model, loaded);
  add_reference(header, eval, reference);
  print_self_kld(result, options, prompts.size(), std::move(header), global);
}

}  // namespace

// A command of tq eval.
void add_eval_generate_kld(CLI::App& eval, const GlobalOptions& global) {
  auto options = std::make_shared<GenerateKldOptions>();
  CLI::App* command = eval.add_subcommand(
      "generate-kld", "KL divergence from a reference on what the model writes itself");
  add_model_options(*command, options->eval.model, std::to_string(kDefaultWindow));
  command->add_option("--reference", options->eval.reference, "The model to compare with")
      ->required();
  CLI::Option* text = command->add_option(
      "--text", options->eval.text,
      "UTF-8 text that prompts are cut from; - is stdin; without it and --tokens the first turns "
      "of the built-in scenarios, as chats");
  command
      ->add_option("--tokens", options->eval.tokens,
                   "JSON file with a list of token ids that prompts are cut from")
      ->excludes(text);
  command->add_option("--prompts", options->prompts, "Prompts at most")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  command->add_option("--prompt-tokens", options->prompt_tokens, "Tokens of a prompt that is cut")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  command->add_option("-n,--max-tokens", options->max_tokens, "Tokens of a continuation at most")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  command
      ->add_option("--writer", options->writer,
                   "Whose continuations: the model's own, or the reference's")
      ->check(one_of({"model", "reference"}));
  add_examples(*command,
               {"tq eval generate-kld ./Qwen3-8B-tq --reference ./Qwen3-8B",
                "tq eval generate-kld ./Qwen3-8B-tq --reference ./Qwen3-8B --text wiki.test.raw "
                "--prompts 50 -n 128"});
  command->callback([options, &global] { run_generate_kld(*options, global); });
}

}  // namespace tq
