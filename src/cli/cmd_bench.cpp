// tq bench: prefill and decode speed at several lengths, depths and concurrencies.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/human.h"
#include "cli/bench_output.h"
#include "cli/bench_run.h"
#include "cli/cmd_bench_serve.h"
#include "cli/command.h"
#include "cli/model_options.h"
#include "cli/progress.h"
#include "cli/result.h"
#include "cli/sizes.h"
#include "cli/values.h"

namespace tq {
namespace {

constexpr int64_t kMostTokens = int64_t{1} << 24;

struct BenchOptions {
  ModelOptions model;
  std::string synthetic;
  std::vector<int> prefill = {128, 512};
  std::vector<int> decode = {32, 128};
  std::vector<std::string> both;  // "PREFILL,DECODE"
  std::vector<int> depth = {0};
  std::vector<int> concurrency = {1};
  int repetitions = 3;
  std::string output = "table";
};

// "512,128", "4k,128"
BenchCase both_case(const std::string& text) {
  const size_t comma = text.find(',');
  if (comma != std::string::npos) {
    const auto prefill = parse_tokens(text.substr(0, comma));
    const auto decode = parse_tokens(text.substr(comma + 1));
    if (prefill && decode && *prefill >= 1 && *decode >= 1 && *prefill <= kMostTokens &&
        *decode <= kMostTokens) {
      return {.prefill = static_cast<int>(*prefill), .decode = static_cast<int>(*decode)};
    }
  }
  fail(ErrorCode::kInvalidArgument, "--pg {}: write it as PREFILL,DECODE, e.g. 512,128", text);
}

std::vector<BenchCase> all_cases(const BenchOptions& options) {
  std::vector<BenchCase> alone;
  for (const int length : options.prefill) alone.push_back({.prefill = length});
  for (const int length : options.decode) alone.push_back({.decode = length});
  for (const std::string& text : options.both) alone.push_back(both_case(text));
  std::erase_if(alone, [](const BenchCase& c) { return c.n_tokens() == 0; });
  if (alone.empty()) fail(ErrorCode::kInvalidArgument, "nothing to measure: give -p, -n or --pg");
  std::vector<BenchCase> cases;
  for (const int sequences : options.concurrency) {
    for (const int depth : options.depth) {
      for (BenchCase what : alone) {
        what.sequences = sequences;
        what.depth = depth;
        cases.push_back(what);
      }
    }
  }
  return cases;
}

std::vector<BenchResult> run_cases(const std::vector<BenchCase>& cases, const BenchReport& report,
                                   const GlobalOptions& global) {
  Engine engine(*report.loaded.model, nullptr, {}, {.kv_format = report.options.kv()});
  BenchRunner runner(engine, report.loaded.model->spec().vocab);
  Progress progress(global, "bench", ProgressUnit::kItems, "runs");
  const auto n_runs = static_cast<int64_t>(cases.size()) * report.repetitions;
  int64_t n_done = 0;
  std::vector<BenchResult> results;
  for (const BenchCase& what : cases) {
    results.push_back(
        runner.run(what, report.repetitions, [&] { progress.update(n_done++, n_runs); }));
    if (global.jsonl) {
      print_json(typed("result", bench_result_json(report, results.back())));
    }
  }
  progress.update(n_done, n_runs);
  return results;
}

void print_results(const BenchReport& report, const std::vector<BenchResult>& results,
                   const std::string& output) {
  if (output == "md") return print_text(bench_markdown(report, results));
  if (output == "csv") return print_text(bench_csv(report, results));
  print_text(bench_table(report, results));
}

void run_bench(BenchOptions options, const GlobalOptions& global) {
  if (!options.synthetic.empty()) options.model.path = "synth:" + options.synthetic;
  if (options.model.path.empty()) {
    fail(ErrorCode::kInvalidArgument, "nothing to measure: give MODEL or --synthetic NAME");
  }
  const std::vector<BenchCase> cases = all_cases(options);
  ModelNeeds needs;
  needs.default_ctx = 1;
  for (const BenchCase& what : cases) {
    needs.max_sequences = std::max<int64_t>(needs.max_sequences, what.sequences);
    needs.default_ctx = std::max(needs.default_ctx, what.context());
  }
  const LoadedModel loaded = open_model(options.model, needs, global);
  const BenchReport report{options.model, loaded, options.repetitions};
  Json json = bench_json(report);
  if (global.jsonl) {
    json.erase("results");
    print_json(typed("start", json));
  }
  const std::vector<BenchResult> results = run_cases(cases, report, global);
  if (global.jsonl) return;
  if (!global.json) return print_results(report, results, options.output);
  for (const BenchResult& result : results) {
    json["results"].push_back(bench_result_json(report, result));
  }
  print_json(json);
}

}  // namespace

void add_bench(CLI::App& app, const GlobalOptions& global) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command = app.add_subcommand("bench", "Measure prefill and decode speed");
  add_model_options(*command, options->model, "what the longest test needs");
  command
      ->add_option("--synthetic", options->synthetic,
                   "Measure random weights of a published shape (tq synth --list) instead of MODEL")
      ->excludes(command->get_option("MODEL")->required(false));
  // A list is "128,512", so that what follows it is another argument.
  const auto add_list = [command](const char* name, std::vector<int>& values, const char* text) {
    return command->add_option(name, values, text)->delimiter(',')->allow_extra_args(false);
  };
  add_list("-p,--prefill", options->prefill,
           "Prompt lengths to prefill, in tokens; 0 measures none")
      ->transform(token_count(0, kMostTokens));
  add_list("-n,--decode", options->decode, "Numbers of tokens to decode; 0 measures none")
      ->transform(token_count(0, kMostTokens));
  command
      ->add_option("--pg", options->both,
                   "PREFILL,DECODE: a prompt and its answer in one measurement; may be repeated")
      ->allow_extra_args(false);
  add_list("-d,--depth", options->depth,
           "Tokens that are in the context already when a test begins; 0 is an empty context")
      ->transform(token_count(0, kMostTokens));
  add_list("-c,--concurrency", options->concurrency, "Numbers of sequences at a time")
      ->check(CLI::Range(1, 1024));
  command->add_option("-r,--repetitions", options->repetitions, "Runs of each test")
      ->check(CLI::Range(1, 10000));
  command->add_option("-o,--output", options->output, "How the results are printed")
      ->check(one_of({"table", "md", "csv", "json", "jsonl"}));
  add_examples(*command, {"tq bench ./Qwen3-8B --format tq3",
                          "tq bench model.gguf -p 512,2k -n 128 -d 0,4k -c 1,8 -r 5",
                          "tq bench model.gguf -p 0 -n 0 --pg 512,128 -o md",
                          "tq bench --synthetic qwen3-8B -p 128 -n 32 --json",
                          "tq bench serve http://localhost:8000"});
  add_bench_serve(*command, global);
  command->callback([options, command, &global] {
    if (command->get_subcommands().empty()) run_bench(*options, global);
  });
}

}  // namespace tq
