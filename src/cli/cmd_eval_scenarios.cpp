// tq eval scenarios: conversations that a model is led through, checked and judged.
#include <fmt/format.h>

#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/chat_source.h"
#include "cli/command.h"
#include "cli/eval_scenarios_output.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/report_facts.h"
#include "cli/result.h"
#include "cli/values.h"
#include "eval/answer_cache.h"
#include "eval/scenario_report.h"

namespace tq {
namespace {

struct EvalScenariosOptions {
  ChatSource subject;
  ChatSource against;
  ChatSource judge;
  ChatSourceOptions chat;
  std::string folder;  // of scenarios; empty: the built-in ones
  std::vector<std::string> ids;
  SubjectOptions answers;
  uint64_t seed = 1;
  int64_t repeat = 1;
  std::optional<uint64_t> against_seed;
  JudgeOptions judging;
  std::string judge_by = "both";
  std::optional<double> price_per_hour;
  std::string cache;
  std::string save;
  std::string report;
};

std::vector<uint64_t> seeds_from(uint64_t first, int64_t n) {
  std::vector<uint64_t> seeds(static_cast<size_t>(n));
  std::iota(seeds.begin(), seeds.end(), first);
  return seeds;
}

// Two of one name would be one column.
std::string run_name(const ChatSource& source) {
  std::string name = source.model.path;
  for (const std::string* part :
       {&source.model.format, &source.model.preset, &source.served_model}) {
    if (!part->empty()) name += " " + *part;
  }
  return name;
}

class ScenarioRunner {
 public:
  ScenarioRunner(const EvalScenariosOptions& options, const GlobalOptions& global)
      : options_(options), global_(global), cache_(options.cache) {}

  ScenarioReport run(std::span<const Scenario> scenarios) {
    ScenarioReport report{.scenarios = scenarios,
                          .runs = {},
                          .pairs = {},
                          .judge = nullptr,
                          .subject = options_.answers,
                          .judging = options_.judging,
                          .price_per_hour = options_.price_per_hour};
    report.subject.seeds = seeds_from(options_.seed, options_.repeat);
    report.runs.push_back(answer(options_.subject, report.subject, scenarios));
    if (!options_.against.model.path.empty()) {
      SubjectOptions other = report.subject;
      other.seeds = seeds_from(options_.against_seed.value_or(options_.seed), options_.repeat);
      report.runs.push_back(answer(options_.against, other, scenarios));
      name_apart(report.runs[0], report.runs[1]);
    }
    if (!options_.judge.model.path.empty()) judge(report);
    return report;
  }

  const LoadedFacts& subject_facts() const { return subject_facts_; }

 private:
  CachedModel make(const ChatSource& source) {
    LoadedFacts& facts = &source == &options_.subject ? subject_facts_ : other_facts_;
    return {make_chat_model(source, options_.chat, global_, facts), cache_};
  }

  // The model is loaded for this only: two need not fit in memory.
  SubjectRun answer(const ChatSource& source, const SubjectOptions& answers,
                    std::span<const Scenario> scenarios) {
    CachedModel model = make(source);
    SubjectRun run{.name = run_name(source),
                   .identity = model.identity(),
                   .conversations = {},
                   .judgements = {}};
    Progress progress(global_, "answering", ProgressUnit::kItems, "answers");
    run.conversations = converse(model, scenarios, answers, [&](int64_t done, int64_t total) {
      progress.update(done, total);
    });
    progress.finish();
    int64_t failed = 0;
    std::string first;
    for (const Conversation& conversation : run.conversations) {
      if (conversation.fault.empty()) continue;
      if (failed++ == 0) first = conversation.fault;
    }
    if (failed == static_cast<int64_t>(run.conversations.size())) {
      fail(ErrorCode::kIo, "{}: no conversation was answered in full; the first: {}", run.name,
           first);
    }
    if (failed > 0) {
      warn("{}: {} of {} conversations were not answered in full; the first: {}", run.name, failed,
           run.conversations.size(), first);
    }
    return run;
  }

  // Of the same model with other seeds.
  void name_apart(SubjectRun& first, SubjectRun& second) const {
    if (first.name != second.name) return;
    const uint64_t seed = options_.against_seed.value_or(options_.seed);
    first.name += fmt::format(" (seed {})", options_.seed);
    second.name += fmt::format(" (seed {}{})", seed, seed == options_.seed ? ", again" : "");
  }

  void judge(ScenarioReport& report) {
    CachedModel model = make(options_.judge);
    report.judge = model.identity();
    int64_t missing = 0;
    std::string first;
    const auto note = [&](const std::string& fault) {
      if (!fault.empty() && missing++ == 0) first = fault;
    };
    if (options_.judge_by != "pairs") {
      for (SubjectRun& run : report.runs) {
        Progress progress(global_, "judging", ProgressUnit::kItems, "questions");
        run.judgements =
            judge_scores(model, run.conversations, options_.judging,
                         [&](int64_t done, int64_t total) { progress.update(done, total); });
        for (const Judgement& judgement : run.judgements) note(judgement.fault);
      }
    }
    if (report.runs.size() == 2 && options_.judge_by != "scores") {
      Progress progress(global_, "judging pairs", ProgressUnit::kItems, "questions");
      report.pairs = judge_pairs(
          model, report.runs[0].conversations, report.runs[1].conversations, options_.judging,
          [&](int64_t done, int64_t total) { progress.update(done, total); });
      for (const PairJudgement& pair : report.pairs) note(pair.fault);
    }
    if (missing > 0) warn("{} conversations were not judged; the first: {}", missing, first);
  }

  const EvalScenariosOptions& options_;
  const GlobalOptions& global_;
  AnswerCache cache_;
  LoadedFacts subject_facts_;
  LoadedFacts other_facts_;
};

void check_options(const EvalScenariosOptions& options) {
  if (options.against_seed && options.against.model.path.empty()) {
    fail(ErrorCode::kInvalidArgument, "--against-seed is for --against");
  }
  if (options.judge_by == "pairs" && options.against.model.path.empty()) {
    fail(ErrorCode::kInvalidArgument, "pairs need a second model: give --against MODEL");
  }
}

void run_eval_scenarios(EvalScenariosOptions options, const GlobalOptions& global) {
  check_options(options);
  // The others run on the same device, as they are stored.
  for (ChatSource* source : {&options.against, &options.judge}) {
    source->model = options.subject.model.as_stored(source->model.path);
  }
  const std::vector<Scenario> scenarios = pick_scenarios(
      options.folder.empty() ? built_in_scenarios() : read_scenarios(options.folder), options.ids);
  const InterruptScope interrupt;
  ScenarioRunner runner(options, global);
  const ScenarioReport report = runner.run(scenarios);
  Json json = result_json("eval scenarios");
  json.update({{"model", options.subject.model.path},
               {"device", runner.subject_facts().json()},
               {"seed", options.seed},
               {"argv", command_line()}});
  json.update(scenario_report_json(report));
  if (!options.save.empty()) write_file_atomic(options.save, json.dump(1) + "\n");
  if (!options.report.empty()) {
    write_file_atomic(options.report, scenario_report_html(report, page_facts(json["device"])));
  }
  if (global.json) return print_json(json);
  print_text(scenarios_text(report));
}

void add_subject_options(CLI::App& command, EvalScenariosOptions& options) {
  constexpr const char* kGroup = "Answers";
  command
      .add_option("--against", options.against.model.path,
                  "A second model or URL that goes through the same scenarios and is compared with")
      ->group(kGroup);
  command.add_option("--scenarios", options.folder, "Folder of scenarios, instead of the built-in")
      ->group(kGroup);
  command.add_option("--only", options.ids, "Scenarios to run, by their files' names: a,b")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->group(kGroup);
  command.add_option("-n,--max-tokens", options.answers.max_tokens, "Tokens of an answer at most")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->group(kGroup);
  command
      .add_option("--max-turns", options.answers.max_turns,
                  "Turns of each scenario at most; 0: all")
      ->check(CLI::Range(int64_t{0}, int64_t{1000}))
      ->group(kGroup);
  command
      .add_option("--temp,--temperature", options.answers.temperature,
                  "Temperature of answers; 0 is greedy")
      ->check(CLI::Range(0.0, 10.0))
      ->group(kGroup);
  command.add_option("--seed", options.seed, "Of the first conversation of each scenario")
      ->group(kGroup);
  command.add_option("--against-seed", options.against_seed, "Of the second model's, if another")
      ->group(kGroup);
  command
      .add_option("--repeat", options.repeat,
                  "Conversations of each scenario, with seeds one after the other")
      ->check(CLI::Range(int64_t{1}, int64_t{1000}))
      ->group(kGroup);
  const auto served = [&](const char* name, std::string& value, const char* what) {
    command.add_option(name, value, what)->group(kGroup);
  };
  served("--subject-model", options.subject.served_model,
         "Model to ask a subject's URL for; without it the server's first");
  served("--against-model", options.against.served_model, "Likewise of --against");
  served("--api-key", options.subject.api_key,
         "Key for a subject's URL; others can read command lines: rather TQ_API_KEY");
  served("--against-api-key", options.against.api_key,
         "Likewise of --against: rather TQ_AGAINST_API_KEY");
}

void add_judge_options(CLI::App& command, EvalScenariosOptions& options) {
  constexpr const char* kGroup = "Judge";
  command
      .add_option("--judge", options.judge.model.path,
                  "Model or URL that scores the conversations; without it only checks count")
      ->group(kGroup);
  command
      .add_option("--judge-model", options.judge.served_model,
                  "Model to ask a judge's URL for; without it the server's first")
      ->group(kGroup);
  command
      .add_option("--judge-api-key", options.judge.api_key,
                  "Key for a judge's URL: rather TQ_JUDGE_API_KEY")
      ->group(kGroup);
  command
      .add_option("--judge-by", options.judge_by,
                  "With --against: scores of each, blind pairs, or both")
      ->check(one_of({"scores", "pairs", "both"}))
      ->group(kGroup);
  command
      .add_option("--judge-orders", options.judging.orders,
                  "Ask in one order of criteria and records, or in two")
      ->check(CLI::Range(1, 2))
      ->group(kGroup);
  command
      .add_option("--judge-tries", options.judging.tries,
                  "How often a judge is asked whose answer cannot be read")
      ->check(CLI::Range(1, 100))
      ->group(kGroup);
  command
      .add_option("--judge-tokens", options.judging.max_tokens,
                  "Tokens of a judge's answer at most, reasoning included")
      ->check(CLI::Range(int64_t{16}, int64_t{1} << 20))
      ->group(kGroup);
  command
      .add_option("--judge-reason", options.judging.most_reason,
                  "Characters of each of a judge's reasons at most")
      ->check(CLI::Range(int64_t{1}, int64_t{10000}))
      ->group(kGroup);
}

void add_output_options(CLI::App& command, EvalScenariosOptions& options) {
  constexpr const char* kGroup = "Results";
  command
      .add_option("--cache", options.cache,
                  "File that keeps answers by what was asked of whom: the same command goes on "
                  "where it was stopped")
      ->group(kGroup);
  command.add_option("--save", options.save, "File for the result as JSON, with transcripts")
      ->group(kGroup);
  command
      .add_option("--report", options.report, "File for an HTML page with plots and transcripts")
      ->group(kGroup);
  command
      .add_option("--price-per-hour", options.price_per_hour,
                  "Of the machine that answers: gives prices of tokens and conversations")
      ->check(CLI::Range(0.0, 1e9))
      ->group(kGroup);
}

}  // namespace

// A command of tq eval.
void add_eval_scenarios(CLI::App& eval, const GlobalOptions& global) {
  auto options = std::make_shared<EvalScenariosOptions>();
  CLI::App* command =
      eval.add_subcommand("scenarios", "Lead a model through conversations, check and judge them");
  add_model_options(*command, options->subject.model, std::to_string(ModelNeeds{}.default_ctx));
  command->get_option("MODEL")->description(
      "The subject: folder or file (native, Hugging Face or GGUF), or a URL: "
      "http://localhost:8000");
  add_subject_options(*command, *options);
  add_judge_options(*command, *options);
  add_chat_source_options(*command, options->chat);
  add_output_options(*command, *options);
  add_examples(
      *command,
      {"tq eval scenarios ./Qwen3-8B-tq --cache run.jsonl --report run.html",
       "tq eval scenarios ./Qwen3-8B-tq --against ./Qwen3-8B --judge http://localhost:8000 "
       "--cache run.jsonl --report run.html",
       "tq eval scenarios http://localhost:8000 --judge ./Judge-70B-tq --price-per-hour 2.5",
       "tq eval scenarios ./Qwen3-8B --against ./Qwen3-8B --temp 0.7 --against-seed 2 --judge "
       "URL"});
  command->callback([options, &global] { run_eval_scenarios(*options, global); });
}

}  // namespace tq
