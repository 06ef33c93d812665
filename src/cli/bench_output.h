// The results of tq bench as a table, Markdown, CSV or JSON.
#pragma once

#include <span>
#include <string>

#include "cli/bench_run.h"
#include "cli/command.h"
#include "cli/model_options.h"

namespace tq {

// What was measured, on what.
struct BenchReport {
  const ModelOptions& options;
  const LoadedModel& loaded;
  int repetitions = 0;
};

// Everything but the results, which are an empty list.
Json bench_json(const BenchReport& report);
Json bench_result_json(const BenchReport& report, const BenchResult& result);

std::string bench_table(const BenchReport& report, std::span<const BenchResult> results);
// Of GitHub's kind, with the columns that llama-bench prints.
std::string bench_markdown(const BenchReport& report, std::span<const BenchResult> results);
// A header, then one line a result with all settings. RFC 4180 but for the line ends, which are
// "\n".
std::string bench_csv(const BenchReport& report, std::span<const BenchResult> results);

}  // namespace tq
