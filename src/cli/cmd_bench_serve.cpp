// tq bench serve: load on a server that speaks OpenAI's API, and what it takes.
#include "cli/cmd_bench_serve.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "cli/bench_serve.h"
#include "cli/bench_serve_output.h"
#include "cli/result.h"
#include "cli/seed_table.h"
#include "cli/sizes.h"
#include "cli/values.h"

namespace tq {
namespace {

constexpr int64_t kMostConversations = 1'000'000;
constexpr int64_t kMostLength = int64_t{1} << 24;

void check_targets(const BenchServeOptions& options) {
  if (options.preset.empty()) {
    if (options.targets.size() != 1) {
      fail(ErrorCode::kInvalidArgument,
           "one server's URL is wanted, such as http://localhost:8000");
    }
    if (!options.serve_options.empty()) {
      fail(ErrorCode::kInvalidArgument, "--serve-options are for the servers of a --preset");
    }
  } else if (options.targets.size() > 2) {
    fail(ErrorCode::kInvalidArgument,
         "--preset {} takes a bf16 MODEL and a compressed one, or only the first", options.preset);
  } else if (!options.rates.empty() || !options.report.empty()) {
    fail(ErrorCode::kInvalidArgument, "--preset {} has neither --request-rate nor --report",
         options.preset);
  }
}

void print_bench(const BenchServeOptions& options, const ServerBench& bench,
                 const GlobalOptions& global) {
  if (bench.levels.empty()) return;
  if (!options.save.empty()) {
    write_file_atomic(options.save, bench_serve_file_text(bench_serve_result(options, bench)));
  }
  if (!options.report.empty()) write_file_atomic(options.report, bench_serve_html(options, bench));
  if (global.jsonl) return;
  if (global.json) return print_json(bench_serve_result(options, bench));
  print_text(bench_serve_table(options, bench));
}

void run_bench_serve(BenchServeOptions options, const GlobalOptions& global) {
  check_targets(options);
  std::sort(options.percentiles.begin(), options.percentiles.end());
  if (!options.preset.empty()) {
    apply_seed_table(options);
    return run_seed_table(options, global);
  }
  ServerBench bench;
  try {
    bench_server(options, options.targets[0], global, bench, [&](const MeasuredLevel& measured) {
      if (!global.jsonl) return;
      if (bench.levels.size() == 1) {
        Json start = bench_serve_json(options, bench);
        start.erase("results");
        print_json(typed("start", start));
      }
      print_json(typed("result", bench_serve_level_json(options, measured)));
    });
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled) print_bench(options, bench, global);
    throw;
  }
  print_bench(options, bench, global);
  check_answered(bench);
}

void add_traffic_options(CLI::App& command, BenchServeOptions& options) {
  constexpr const char* kGroup = "Traffic";
  command
      .add_option("-c,--concurrency", options.concurrency,
                  "Answers under way at a time, one level each: 1,2,4 (default: 1,4,16); with "
                  "--request-rate the limit (default: none)")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(int64_t{1}, int64_t{65536}))
      ->group(kGroup);
  command
      .add_option("--request-rate", options.rates,
                  "Conversations begun a second, whatever is under way, one level each: 1,2.5")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(1e-6, 1e6))
      ->group(kGroup);
  command
      .add_option("--burstiness", options.burstiness,
                  "Of the times between: 1 is a Poisson process, less comes in bursts")
      ->check(CLI::Range(0.01, 1e6))
      ->group(kGroup);
  command
      .add_option("-r,--num-requests", options.n_requests,
                  "Requests of each level; with --turns conversations")
      ->check(CLI::Range(int64_t{1}, kMostConversations))
      ->group(kGroup);
  command
      .add_option("--warmup", options.n_warmup,
                  "Requests before each level that do not count; each has its own prompt")
      ->check(CLI::Range(int64_t{0}, kMostConversations))
      ->group(kGroup);
  command.add_flag("--health", options.health, "Time GET /health every 20 ms meanwhile")
      ->group(kGroup);
}

void add_prompt_options(CLI::App& command, PromptOptions& options) {
  constexpr const char* kGroup = "Prompts";
  command
      .add_option("--dataset", options.dataset,
                  "random, or a file: conversations in JSON (ShareGPT's or OpenAI's form, a line "
                  "each), or a text, which is cut")
      ->group(kGroup);
  const auto tokens = [&](const char* name, int64_t& value, int64_t least, const char* what) {
    command.add_option(name, value, what)
        ->transform(token_count(least, kMostLength))
        ->group(kGroup);
  };
  tokens("--input-len", options.input_tokens, 1, "Tokens of a prompt (random, or cut of a text)");
  tokens("-n,--max-tokens", options.output_tokens, 1, "Tokens of an answer at most");
  command
      .add_option("--range-ratio", options.range_ratio,
                  "Random lengths of prompts and answers: from 1 - r to 1 + r times these")
      ->check(CLI::Range(0.0, 1.0))
      ->group(kGroup);
  command
      .add_option("--turns", options.turns,
                  "Turns of a conversation, each with the answers before it; 0: all in the file")
      ->check(CLI::Range(int64_t{0}, int64_t{1000}))
      ->group(kGroup);
  tokens("--prefix-len", options.prefix_tokens, 0, "Random tokens in front that prompts share");
  command.add_option("--num-prefixes", options.n_prefixes, "How many such prefixes, taken in turn")
      ->check(CLI::Range(int64_t{1}, int64_t{100000}))
      ->group(kGroup);
  command.add_option("--seed", options.seed, "Of random prompts, lengths and times")->group(kGroup);
}

void add_request_options(CLI::App& command, BenchServeOptions& options) {
  constexpr const char* kGroup = "Requests";
  command.add_option("--endpoint", options.endpoint, "Route that is asked")
      ->check(one_of({"chat", "completions"}))
      ->group(kGroup);
  command.add_option("--model", options.model, "Model to ask for; without it the server's first")
      ->group(kGroup);
  command
      .add_option("--api-key", options.api_key,
                  "Key to send; others can read command lines: rather TQ_API_KEY")
      ->group(kGroup);
  command
      .add_flag("--ignore-eos", options.ignore_eos,
                "Answers go on to --max-tokens (servers that know the field)")
      ->group(kGroup);
  command.add_option("--temp,--temperature", options.temperature, "Temperature to ask for")
      ->group(kGroup);
  command.add_option("--top-p", options.top_p, "Top-p to ask for")->group(kGroup);
  command.add_option("--top-k", options.top_k, "Top-k to ask for")->group(kGroup);
  command
      .add_option("--extra-body", options.extra_body,
                  "JSON object whose fields are put into every request")
      ->group(kGroup);
  command
      .add_option("--timeout", options.limits.call_seconds,
                  "Seconds until a request that is not answered in full has failed")
      ->check(CLI::Range(0.01, 1e6))
      ->group(kGroup);
  command
      .add_option("--connect-timeout", options.limits.connect_seconds,
                  "Seconds until a connection must stand")
      ->check(CLI::Range(0.01, 1e6))
      ->group(kGroup);
}

void add_trust_options(CLI::App& command, ClientTrust& trust) {
  constexpr const char* kGroup = "Requests";
  command
      .add_option("--ca", trust.ca_file,
                  "File with certificates (PEM) that an https server's may be of; without it the "
                  "system's")
      ->group(kGroup);
  command.add_flag("--insecure", trust.insecure, "Take any certificate of an https server")
      ->group(kGroup);
}

void add_result_options(CLI::App& command, BenchServeOptions& options) {
  constexpr const char* kGroup = "Results";
  command.add_option("--percentiles", options.percentiles, "Percentiles of all times")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(0.0, 100.0))
      ->group(kGroup);
  command
      .add_option("--goodput", options.goodput,
                  "Milliseconds that a good request may take: ttft:200,tpot:50,e2el:5000")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->group(kGroup);
  command.add_option("--save", options.save, "File for the result as JSON")->group(kGroup);
  command.add_option("--report", options.report, "File for an HTML page with plots")->group(kGroup);
}

}  // namespace

void add_bench_serve(CLI::App& bench, const GlobalOptions& global) {
  auto options = std::make_shared<BenchServeOptions>();
  CLI::App* command =
      bench.add_subcommand("serve", "Put load on a running server and measure its answers");
  command
      ->add_option("URL", options->targets,
                   "The server, such as http://localhost:8000; with --preset one or two MODELs")
      ->required();
  command
      ->add_option("--preset", options->preset,
                   "seed-table: serve a bf16 MODEL and a compressed one (or the first, compressed "
                   "at load) and print tokens/s by concurrency beside a known table")
      ->check(one_of({"seed-table"}));
  command->add_option("--serve-options", options->serve_options,
                      "Options for the servers of a preset, in one text: \"--device cpu\"");
  add_traffic_options(*command, *options);
  add_prompt_options(*command, options->prompts);
  add_request_options(*command, *options);
  add_trust_options(*command, options->trust);
  add_result_options(*command, *options);
  add_examples(
      *command,
      {"tq bench serve http://localhost:8000",
       "tq bench serve localhost:8000 -c 1,2,4,8,16,32 -r 128 --ignore-eos --report load.html",
       "tq bench serve localhost:8000 --request-rate 0.5,1,2 --goodput ttft:200,tpot:50",
       "tq bench serve localhost:8000 --dataset chats.jsonl --turns 4 --json",
       "tq bench serve --preset seed-table ./model ./model-tq3 -c 1,2,4,8,16,32"});
  command->callback([options, &global] { run_bench_serve(*options, global); });
}

}  // namespace tq
