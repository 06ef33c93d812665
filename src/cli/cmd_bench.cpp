// tq bench: prefill and decode speed at several lengths and concurrencies.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/human.h"
#include "cli/command.h"
#include "cli/model_options.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "engine/engine.h"
#include "engine/evaluate.h"

namespace tq {
namespace {

struct BenchOptions {
  ModelOptions model;
  std::string synthetic;
  std::vector<int> prefill = {128, 512};
  std::vector<int> decode = {32, 128};
  std::vector<int> concurrency = {1};
  int repetitions = 3;
};

// One line of the result: `length` tokens prefilled or decoded by each of `sequences` at once.
struct BenchCase {
  bool prefill = false;
  int length = 0;
  int sequences = 0;
};

// Throughput of all sequences together, tokens a second.
struct BenchResult {
  BenchCase what;
  double mean = 0;
  double deviation = 0;
  double bytes_per_second = 0;  // of weights read, if each step reads them once; 0 for prefill
};

std::vector<BenchCase> all_cases(const BenchOptions& options) {
  std::vector<BenchCase> cases;
  for (const int sequences : options.concurrency) {
    for (const int length : options.prefill) cases.push_back({true, length, sequences});
    for (const int length : options.decode) cases.push_back({false, length, sequences});
  }
  std::erase_if(cases, [](const BenchCase& c) { return c.length == 0; });
  if (cases.empty()) fail(ErrorCode::kInvalidArgument, "nothing to measure: give -p or -n");
  return cases;
}

// What a case is preceded by, so that it finds pages touched, threads awake and kernels loaded: all
// of a prefill, whose kernels depend on its length, and a few of the tokens of a decode, whose do
// not.
BenchCase warm_up_of(BenchCase what) {
  constexpr int kTokens = 8;
  if (!what.prefill) what.length = std::min(what.length, kTokens);
  return what;
}

// Seconds that one case takes. Prompts are random ids: equal tokens would flatter caches.
double measure(Engine& engine, const BenchCase& what, int64_t vocab, std::mt19937_64& random) {
  const int n_prompt = what.prefill ? what.length : 1;
  for (int s = 0; s < what.sequences; ++s) {
    Request request;
    for (int i = 0; i < n_prompt; ++i) {
      request.prompt.push_back(static_cast<int32_t>(random() % static_cast<uint64_t>(vocab)));
    }
    request.sampling.max_tokens = what.prefill ? 1 : what.length;
    request.sampling.ignore_eos = true;
    request.on_output = [](const Output& output) {
      if (output.finish == FinishReason::kError) fail(output.error_code, "{}", output.error);
    };
    engine.add(std::move(request));
  }
  const auto start = std::chrono::steady_clock::now();
  while (engine.step()) {
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::vector<BenchResult> run_cases(const BenchOptions& options, const LoadedModel& loaded,
                                   const GlobalOptions& global) {
  const std::vector<BenchCase> cases = all_cases(options);
  Engine engine(*loaded.model, nullptr, {}, {.kv_dtype = options.model.kv()});
  const int64_t vocab = loaded.model->spec().vocab;
  std::mt19937_64 random(1);
  Progress progress(global, "bench", ProgressUnit::kItems, "runs");
  const auto n_runs = static_cast<int64_t>(cases.size()) * options.repetitions;
  int64_t n_done = 0;
  std::vector<BenchResult> results;
  for (const BenchCase& what : cases) {
    measure(engine, warm_up_of(what), vocab, random);
    const double n_tokens = static_cast<double>(what.length) * what.sequences;
    RunningMean rate;
    for (int i = 0; i < options.repetitions; ++i) {
      progress.update(n_done++, n_runs);
      rate.add(n_tokens / measure(engine, what, vocab, random));
    }
    BenchResult result{what, rate.mean(), rate.deviation()};
    if (!what.prefill) {
      result.bytes_per_second =
          static_cast<double>(loaded.model->bytes_per_token()) * result.mean / what.sequences;
    }
    results.push_back(result);
  }
  progress.update(n_done, n_runs);
  return results;
}

void print_results(const std::vector<BenchResult>& results, const LoadedModel& loaded,
                   const BenchOptions& options, const GlobalOptions& global) {
  const Model& model = *loaded.model;
  if (global.json) {
    Json json = {{"model", options.model.path},
                 {"arch", model.spec().arch},
                 {"parameters", model.n_parameters()},
                 {"weight_bytes", model.weight_bytes()},
                 {"bytes_per_token", model.bytes_per_token()},
                 {"backend", loaded.backend->description()},
                 {"repetitions", options.repetitions},
                 {"results", Json::array()}};
    for (const BenchResult& r : results) {
      json["results"].push_back({{"test", r.what.prefill ? "prefill" : "decode"},
                                 {"tokens", r.what.length},
                                 {"sequences", r.what.sequences},
                                 {"tokens_per_s", r.mean},
                                 {"tokens_per_s_sd", r.deviation},
                                 {"weight_gb_per_s", r.bytes_per_second / 1e9}});
    }
    print_json(json);
    return;
  }
  Table table({{"test", Table::Align::kLeft},
               {"tokens"},
               {"sequences"},
               {"tokens/s"},
               {"+-"},
               {"weights GB/s"}});
  for (const BenchResult& r : results) {
    table.add_row({r.what.prefill ? "prefill" : "decode", std::to_string(r.what.length),
                   std::to_string(r.what.sequences), fmt::format("{:.2f}", r.mean),
                   fmt::format("{:.2f}", r.deviation),
                   r.what.prefill ? "" : fmt::format("{:.2f}", r.bytes_per_second / 1e9)});
  }
  print_text(fmt::format("{}: {}, {} parameters, {} weights, {} read a token\n{}\n\n{}",
                         options.model.path, model.spec().arch,
                         human_count(static_cast<double>(model.n_parameters())),
                         human_bytes(static_cast<double>(model.weight_bytes())),
                         human_bytes(static_cast<double>(model.bytes_per_token())),
                         loaded.backend->description(), table.text()));
}

void run_bench(BenchOptions options, const GlobalOptions& global) {
  if (!options.synthetic.empty()) options.model.path = "synth:" + options.synthetic;
  if (options.model.path.empty()) {
    fail(ErrorCode::kInvalidArgument, "nothing to measure: give MODEL or --synthetic NAME");
  }
  const auto largest = [](const std::vector<int>& values) {
    return values.empty() ? 0 : *std::max_element(values.begin(), values.end());
  };
  ModelNeeds needs;
  needs.max_sequences = std::max(1, largest(options.concurrency));
  needs.default_ctx = std::max(largest(options.prefill), largest(options.decode)) + 1;
  const LoadedModel loaded = open_model(options.model, needs, global);
  print_results(run_cases(options, loaded, global), loaded, options, global);
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
  command
      ->add_option("-p,--prefill", options->prefill,
                   "Prompt lengths to prefill, in tokens; 0 measures none")
      ->delimiter(',')
      ->check(CLI::Range(0, 1 << 24));
  command
      ->add_option("-n,--decode", options->decode,
                   "Numbers of tokens to decode from an empty context; 0 measures none")
      ->delimiter(',')
      ->check(CLI::Range(0, 1 << 24));
  command->add_option("-c,--concurrency", options->concurrency, "Numbers of sequences at a time")
      ->delimiter(',')
      ->check(CLI::Range(1, 1024));
  command->add_option("-r,--repetitions", options->repetitions, "Runs of each test")
      ->check(CLI::Range(1, 10000));
  command->callback([options, &global] { run_bench(*options, global); });
}

}  // namespace tq
