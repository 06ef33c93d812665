// What tq bench serve measures: levels of load on one server, one after the other.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "loadgen/prompts.h"
#include "loadgen/report.h"

namespace tq {

struct BenchServeOptions {
  std::vector<std::string> targets;  // the URL; of a preset the models
  std::string preset;
  std::string serve_options;  // of the servers that a preset starts

  std::vector<int64_t> concurrency;
  std::vector<double> rates;
  double burstiness = 1;
  int64_t n_requests = 32;
  int64_t n_warmup = 1;

  PromptOptions prompts;
  std::string endpoint = "chat";
  std::string api_key;
  std::string model;
  bool ignore_eos = false;
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<int64_t> top_k;
  std::string extra_body;

  std::vector<std::string> goodput;
  std::vector<double> percentiles = {50, 90, 95, 99};
  bool health = false;
  ClientLimits limits;
  ClientTrust trust;
  std::string save;
  std::string report;
};

struct ServerBench {
  std::string url;
  std::string model;
  std::string note;  // on how prompts were made; empty: none
  std::vector<MeasuredLevel> levels;
};

// Measures all levels of the options on the server, into `bench`; calls told() after each. Throws
// kInvalidArgument for options that do not go together, kIo where the server does not answer at
// all, kCancelled at Ctrl-C (levels that are complete are in `bench`).
void bench_server(const BenchServeOptions& options, const std::string& url,
                  const GlobalOptions& global, ServerBench& bench,
                  const std::function<void(const MeasuredLevel&)>& told);

// Warns of failed requests; throws kIo if no request of any level was answered.
void check_answered(const ServerBench& bench);

}  // namespace tq
