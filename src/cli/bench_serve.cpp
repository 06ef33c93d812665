#include "cli/bench_serve.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "loadgen/schedule.h"

namespace tq {
namespace {

const std::vector<int64_t> kDefaultConcurrency = {1, 4, 16};

AskOptions ask_options(const BenchServeOptions& options) {
  AskOptions ask{.endpoint = options.endpoint == "chat" ? Endpoint::kChat : Endpoint::kCompletions,
                 .model = options.model,
                 .ignore_eos = options.ignore_eos};
  if (options.temperature) ask.extra["temperature"] = *options.temperature;
  if (options.top_p) ask.extra["top_p"] = *options.top_p;
  if (options.top_k) ask.extra["top_k"] = *options.top_k;
  if (options.extra_body.empty()) return ask;
  const Json extra = parse_json(options.extra_body, "--extra-body");
  if (!extra.is_object()) fail(ErrorCode::kInvalidArgument, "--extra-body is no JSON object");
  ask.extra.update(extra);
  return ask;
}

// The levels that are asked for, without records.
std::vector<LoadLevel> levels_of(const BenchServeOptions& options) {
  std::vector<LoadLevel> levels;
  if (options.rates.empty()) {
    for (const int64_t n :
         options.concurrency.empty() ? kDefaultConcurrency : options.concurrency) {
      levels.push_back({.concurrency = n});
    }
    return levels;
  }
  if (options.concurrency.size() > 1) {
    fail(ErrorCode::kInvalidArgument,
         "with --request-rate one --concurrency is the limit of all rates: give no list");
  }
  const int64_t limit = options.concurrency.empty() ? 0 : options.concurrency.front();
  for (const double rate : options.rates) levels.push_back({.concurrency = limit, .rate = rate});
  return levels;
}

std::string level_name(const LoadLevel& level) {
  return level.rate > 0 ? fmt::format("{:g} requests/s", level.rate)
                        : fmt::format("concurrency {}", level.concurrency);
}

// Runs the levels on one server.
class LevelRunner {
 public:
  LevelRunner(const BenchServeOptions& options, HttpClient& client, ModelServer& server,
              const AskOptions& ask, const GlobalOptions& global)
      : options_(options), client_(client), server_(server), ask_(ask), global_(global) {}

  LoadRecords run(const LoadLevel& level, PromptSource& prompts) {
    LoadPlan plan{.concurrency = level.concurrency, .arrivals = {}};
    if (options_.n_warmup > 0) {
      put_load(client_, server_, ask_, plan, prompts.take(options_.n_warmup),
               [](int64_t, int64_t) {});
    }
    const std::vector<LoadConversation> conversations = prompts.take(options_.n_requests);
    if (level.rate > 0) {
      plan.arrivals = arrival_times(options_.n_requests, level.rate, options_.burstiness,
                                    options_.prompts.seed);
    }
    plan.probe_health = options_.health;
    Progress progress(global_, level_name(level), ProgressUnit::kItems, "requests");
    return put_load(client_, server_, ask_, plan, conversations,
                    [&](int64_t done, int64_t total) { progress.update(done, total); });
  }

 private:
  const BenchServeOptions& options_;
  HttpClient& client_;
  ModelServer& server_;
  const AskOptions& ask_;
  const GlobalOptions& global_;
};

}  // namespace

void bench_server(const BenchServeOptions& options, const std::string& url,
                  const GlobalOptions& global, ServerBench& bench,
                  const std::function<void(const MeasuredLevel&)>& told) {
  const std::vector<LoadLevel> levels = levels_of(options);
  const Goodput goodput = parse_goodput(options.goodput);
  AskOptions ask = ask_options(options);
  const InterruptScope interrupt;
  HttpClient client(parse_server_url(url), options.limits, options.trust,
                    [] { return !InterruptScope::interrupted(); });
  ModelServer server(client, options.api_key);
  bench.url = client.url().text();
  if (ask.model.empty()) ask.model = server.first_model();
  bench.model = ask.model;
  const auto n_wanted = levels.size() * static_cast<size_t>(options.n_requests + options.n_warmup);
  PromptSource prompts(options.prompts, ask, server, n_wanted);
  LevelRunner runner(options, client, server, ask, global);
  for (const LoadLevel& level : levels) {
    MeasuredLevel measured{.level = level, .measures = {}};
    measured.level.records = runner.run(level, prompts);
    measured.measures = measure(measured.level.records, goodput);
    bench.note = prompts.note();
    bench.levels.push_back(std::move(measured));
    told(bench.levels.back());
  }
}

void check_answered(const ServerBench& bench) {
  int64_t completed = 0;
  int64_t failed = 0;
  std::string first;
  for (const MeasuredLevel& measured : bench.levels) {
    completed += measured.measures.completed;
    failed += measured.measures.failed;
    const auto& faults = measured.level.records.first_faults;
    if (first.empty() && !faults.empty()) first = faults.front();
  }
  if (failed == 0) return;
  if (completed == 0) {
    fail(ErrorCode::kIo, "{}: none of {} requests was answered; the first: {}", bench.url, failed,
         first);
  }
  warn("{} of {} requests failed; the first: {}", failed, completed + failed, first);
}

}  // namespace tq
