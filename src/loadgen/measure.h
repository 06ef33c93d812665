// What the records of a load come to, under the names that `vllm bench serve` gives them.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "loadgen/load.h"
#include "loadgen/statistics.h"

namespace tq {

// Milliseconds that a good request may take; nothing: as long as it takes.
struct Goodput {
  std::optional<double> ttft;
  std::optional<double> tpot;
  std::optional<double> e2el;
  bool any() const { return ttft || tpot || e2el; }
};

// "ttft:200", "tpot:50", "e2el:5000". Throws kInvalidArgument.
Goodput parse_goodput(const std::vector<std::string>& texts);

// One level: how it was asked for, and what was measured. Failed requests count in `failed` and in
// no time or token.
struct LoadLevel {
  int64_t concurrency = 0;  // at most; 0: no limit
  double rate = 0;          // requests a second; 0: a closed loop
  LoadRecords records;
};

struct LoadMeasures {
  int64_t completed = 0;
  int64_t failed = 0;
  int64_t input_tokens = 0;
  int64_t cached_tokens = 0;
  int64_t output_tokens = 0;
  TokenSource tokens_by = TokenSource::kUsage;  // the least exact of all requests
  double request_throughput = 0;                // a second
  std::optional<double> request_goodput;        // when it was asked for
  double output_throughput = 0;
  double total_throughput = 0;
  double peak_output_throughput = 0;  // in the best second
  // Milliseconds of each request, ascending: to the first token; a token after the first
  // (tpot_ms); between two pieces of a stream; to the answer's end.
  std::vector<double> ttft, tpot, itl, e2el;
};

// The kinds of times, with their names in JSON, in a table and in full.
struct TimeKind {
  const char* key;
  const char* short_name;
  const char* name;
  std::vector<double> LoadMeasures::*values;
};
inline constexpr TimeKind kTimeKinds[] = {
    {"ttft_ms", "TTFT", "Time to first token", &LoadMeasures::ttft},
    {"tpot_ms", "TPOT", "Time per output token", &LoadMeasures::tpot},
    {"itl_ms", "ITL", "Inter-token latency", &LoadMeasures::itl},
    {"e2el_ms", "E2E", "End to end", &LoadMeasures::e2el}};

LoadMeasures measure(const LoadRecords& records, const Goodput& goodput);

// Milliseconds a token after the first; nothing for an answer of one token, or that came at once.
std::optional<double> tpot_ms(const RequestRecord& record);

// Output tokens in each of the pieces, `seconds` long, of the level's time.
std::vector<double> tokens_over_time(const LoadRecords& records, double seconds);

// {"request_rate", "max_concurrency", "completed", "failed", ..., "p99_e2el_ms", "errors"}.
Json level_json(const LoadLevel& level, const LoadMeasures& measures,
                std::span<const double> percentiles);

// "p99", "p99.9".
std::string percentile_name(double p);

}  // namespace tq
