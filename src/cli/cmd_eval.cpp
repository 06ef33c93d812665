// tq eval ppl|kld: how good a model is, by numbers. docs/cli.md defines them.
#include <fmt/format.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/human.h"
#include "cli/command.h"
#include "cli/eval_text.h"
#include "cli/model_options.h"
#include "cli/progress.h"
#include "cli/result.h"
#include "cli/saved_reference.h"
#include "cli/table.h"
#include "engine/evaluate.h"

namespace tq {

void add_eval_logits(CLI::App& eval, const GlobalOptions& global);     // cmd_eval_logits.cpp
void add_eval_plans(CLI::App& eval, const GlobalOptions& global);      // cmd_eval_plans.cpp
void add_eval_scenarios(CLI::App& eval, const GlobalOptions& global);  // cmd_eval_scenarios.cpp
void add_eval_tasks(CLI::App& eval, const GlobalOptions& global);      // cmd_eval_tasks.cpp
void add_eval_generate_kld(CLI::App& eval,
                           const GlobalOptions& global);             // cmd_eval_generate_kld.cpp
void add_eval_needle(CLI::App& eval, const GlobalOptions& global);   // cmd_eval_needle.cpp
void add_eval_compare(CLI::App& eval, const GlobalOptions& global);  // cmd_eval_compare.cpp

namespace {

void run_ppl(const EvalOptions& options, const GlobalOptions& global) {
  const ModelNeeds needs{
      .default_ctx = kDefaultWindow, .logits_of_all = true, .text = options.tokens.empty()};
  const LoadedModel loaded = open_model(options.model, needs, global);
  const TextIds ids = read_ids(options, loaded);
  const EvalText text = plan_windows(ids, options, loaded);
  LogitReader reader = make_reader(loaded);
  Progress progress(global, "scoring", ProgressUnit::kItems, "tokens");
  const RunningMean nll = evaluate_nll(
      reader, text, [&](int64_t done, int64_t total) { progress.update(done, total); });
  progress.finish();
  Json json = result_json("eval ppl", options.model, loaded);
  json.update(perplexity(nll));
  if (global.json) {
    json.update({{"nll", nll.mean()},
                 {"nll_se", nll.standard_error()},
                 {"tokens", nll.n()},
                 {"windows", text.windows.size()},
                 {"ctx", loaded.model->options().max_context}});
    print_json(json);
    return;
  }
  print_text(fmt::format(
      "perplexity {:.4f} +- {:.4f}\nnll {:.6f} +- {:.6f} nats a token\n"
      "tokens {} in {} windows of {}\n",
      json["ppl"].get<double>(), json["ppl_se"].get<double>(), nll.mean(), nll.standard_error(),
      nll.n(), text.windows.size(), loaded.model->options().max_context));
}

// header: of result_json.
void print_kld(const KldResult& result, Json header, const GlobalOptions& global) {
  const Json ppl = perplexity(result.nll);
  const Json reference_ppl = perplexity(result.reference_nll);
  const double ratio = std::exp(result.nll.mean() - result.reference_nll.mean());
  if (global.json) {
    header.update({{"kld", result.kld.mean()},
                   {"kld_se", result.kld.standard_error()},
                   {"same_top1", result.same_top1.mean()},
                   {"same_top1_se", result.same_top1.standard_error()},
                   {"ppl", ppl["ppl"]},
                   {"ppl_se", ppl["ppl_se"]},
                   {"reference_ppl", reference_ppl["ppl"]},
                   {"reference_ppl_se", reference_ppl["ppl_se"]},
                   {"ppl_ratio", ratio},
                   {"tokens", result.kld.n()}});
    print_json(header);
    return;
  }
  Table table({{"measure", Table::Align::kLeft}, {"value"}, {"+-"}});
  const auto add = [&](const char* name, double value, double error) {
    table.add_row({name, fmt::format("{:.6f}", value), fmt::format("{:.6f}", error)});
  };
  add("mean KL divergence (nats)", result.kld.mean(), result.kld.standard_error());
  add("same top token", result.same_top1.mean(), result.same_top1.standard_error());
  add("perplexity", ppl["ppl"], ppl["ppl_se"]);
  add("reference perplexity", reference_ppl["ppl"], reference_ppl["ppl_se"]);
  table.add_row({"perplexity ratio", fmt::format("{:.6f}", ratio), ""});
  table.add_row({"tokens", fmt::format("{}", result.kld.n()), ""});
  print_text(table.text());
}

// --save-reference: MODEL is the reference.
void run_save_reference(const EvalOptions& options, const GlobalOptions& global) {
  const ModelNeeds needs{
      .default_ctx = kDefaultWindow, .logits_of_all = true, .text = options.tokens.empty()};
  const LoadedModel loaded = open_model(options.model, needs, global);
  TextIds ids = read_ids(options, loaded);
  plan_windows(ids, options, loaded);  // refuses a text that is too short
  const int64_t length = window_length(ids, loaded);
  const ReferenceText text{.ids = std::move(ids.ids),
                           .prefix = std::move(ids.prefix),
                           .window = length,
                           .stride = stride_of(options, length)};
  LogitReader reader = make_reader(loaded);
  Progress progress(global, "saving", ProgressUnit::kItems, "tokens");
  const RunningMean nll =
      save_reference(reader, text, {options.model, loaded, options.save_reference},
                     [&](int64_t done, int64_t total) { progress.update(done, total); });
  progress.finish();
  const auto bytes = static_cast<int64_t>(fs::file_size(options.save_reference));
  if (global.json) {
    Json json = result_json("eval kld", options.model, loaded);
    json.update(perplexity(nll));
    json.update({{"tokens", nll.n()}, {"out", options.save_reference}, {"bytes", bytes}});
    return print_json(json);
  }
  print_text(fmt::format("{}: {} tokens, {}; perplexity {:.4f}\n", options.save_reference, nll.n(),
                         human_bytes(static_cast<double>(bytes)),
                         perplexity(nll)["ppl"].get<double>()));
}

// A text or a window that was asked for must be the one of the saved logits.
void check_same_text(const EvalOptions& options, const ReferenceText& saved,
                     const LoadedModel& loaded) {
  if (options.stride > 0 && options.stride != saved.stride) {
    fail(ErrorCode::kInvalidArgument, "{} has windows {} tokens apart, not {}: leave --stride out",
         options.reference_logits, saved.stride, options.stride);
  }
  if (options.text.empty() && options.tokens.empty()) {
    if (options.max_tokens == 0) return;
    fail(ErrorCode::kInvalidArgument,
         "{} holds {} tokens and is compared as a whole: leave "
         "--max-tokens out",
         options.reference_logits, saved.ids.size());
  }
  const TextIds ids = read_ids(options, loaded);
  if (ids.ids != saved.ids || ids.prefix != saved.prefix) {
    fail(ErrorCode::kInvalidArgument,
         "{} was saved for another text (or tokenizer): {} tokens instead of {}, or others",
         options.reference_logits, saved.ids.size(), ids.ids.size());
  }
}

// --reference-logits: the text and its windows are those of the file.
void run_kld_with_saved(const EvalOptions& options, const GlobalOptions& global) {
  ReferenceReader reference(options.reference_logits);
  const ReferenceText& saved = reference.text();
  const int64_t ctx = saved.window + static_cast<int64_t>(saved.prefix.size());
  if (options.model.ctx != 0 && options.model.ctx != ctx) {
    fail(ErrorCode::kInvalidArgument, "{} was saved with --ctx {}: leave --ctx out",
         options.reference_logits, ctx);
  }
  ModelOptions model = options.model;
  model.ctx = ctx;
  const LoadedModel loaded =
      open_model(model, {.logits_of_all = true, .text = !options.text.empty()}, global);
  check_same_model(reference, loaded, options.model.path);
  check_same_text(options, saved, loaded);
  LogitReader reader = make_reader(loaded);
  Progress progress(global, "scoring", ProgressUnit::kItems, "tokens");
  const KldResult result = evaluate_kld(
      reader, reference, [&](int64_t done, int64_t total) { progress.update(done, total); });
  progress.finish();
  Json header = result_json("eval kld", model, loaded);
  header["reference"] = reference.model().name;
  header["reference_logits"] = options.reference_logits;
  print_kld(result, header, global);
}

void run_kld(const EvalOptions& options, const GlobalOptions& global) {
  if (!options.save_reference.empty()) return run_save_reference(options, global);
  if (!options.reference_logits.empty()) return run_kld_with_saved(options, global);
  if (options.reference.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "nothing to compare with: give --reference MODEL or --reference-logits FILE");
  }
  const ModelNeeds needs{
      .default_ctx = kDefaultWindow, .logits_of_all = true, .text = options.tokens.empty()};
  const LoadedModel loaded = open_model(options.model, needs, global);
  const LoadedModel reference = open_reference(options, loaded, global);
  const TextIds ids = read_ids(options, loaded);
  check_same_ids(options, loaded, reference, ids);
  const EvalText text = plan_windows(ids, options, loaded);
  LogitReader reader = make_reader(loaded);
  LogitReader reference_reader = make_reader(reference);
  Progress progress(global, "scoring", ProgressUnit::kItems, "tokens");
  const KldResult result =
      evaluate_kld(reader, reference_reader, text,
                   [&](int64_t done, int64_t total) { progress.update(done, total); });
  progress.finish();
  Json header = result_json("eval kld", options.model, loaded);
  add_reference(header, options, reference);
  print_kld(result, header, global);
}

}  // namespace

void add_eval(CLI::App& app, const GlobalOptions& global) {
  CLI::App* eval = app.add_subcommand("eval", "Measure a model: perplexity, divergence, logits");
  eval->require_subcommand(1);
  add_examples(*eval, {"tq eval ppl ./Qwen3-8B --text wiki.test.raw", "tq help eval kld"});

  auto ppl = std::make_shared<EvalOptions>();
  CLI::App* command = eval->add_subcommand("ppl", "Perplexity of a text");
  add_text_options(*command, *ppl);
  add_examples(
      *command,
      {"tq eval ppl ./Qwen3-8B --text wiki.test.raw",
       "tq eval ppl model.gguf --text wiki.test.raw --ctx 512 --max-tokens 20000 --format tq3"});
  command->callback([ppl, &global] { run_ppl(*ppl, global); });

  auto kld = std::make_shared<EvalOptions>();
  command = eval->add_subcommand("kld", "KL divergence and top-1 agreement with a reference model");
  add_text_options(*command, *kld);
  CLI::Option* reference =
      command->add_option("--reference", kld->reference, "The model to compare with");
  CLI::Option* save = command
                          ->add_option("--save-reference", kld->save_reference,
                                       "Run MODEL as the reference and save its logits to this "
                                       "file: 2 bytes a token of the text and of the vocabulary")
                          ->excludes(reference);
  command
      ->add_option("--reference-logits", kld->reference_logits,
                   "Saved logits to compare with, over the text they were saved for")
      ->excludes(reference)
      ->excludes(save);
  add_examples(
      *command,
      {"tq eval kld ./Qwen3-8B-tq --reference ./Qwen3-8B --text wiki.test.raw",
       "tq eval kld ./Qwen3-8B --save-reference ref.bin --text wiki.test.raw --max-tokens 10000",
       "tq eval kld ./Qwen3-8B-tq --reference-logits ref.bin",
       "tq eval kld ./Qwen3-8B --reference ./Qwen3-8B --format tq3 --text wiki.test.raw"});
  command->callback([kld, &global] { run_kld(*kld, global); });

  add_eval_logits(*eval, global);
  add_eval_plans(*eval, global);
  add_eval_scenarios(*eval, global);
  add_eval_tasks(*eval, global);
  add_eval_generate_kld(*eval, global);
  add_eval_needle(*eval, global);
  add_eval_compare(*eval, global);
}

}  // namespace tq
