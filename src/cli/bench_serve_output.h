// The results of tq bench serve as a table, JSON and an HTML page.
#pragma once

#include <string>

#include "cli/bench_serve.h"

namespace tq {

// Everything but the levels: "results" is an empty list.
Json bench_serve_json(const BenchServeOptions& options, const ServerBench& bench);
Json bench_serve_level_json(const BenchServeOptions& options, const MeasuredLevel& measured);
// With all levels.
Json bench_serve_result(const BenchServeOptions& options, const ServerBench& bench);

// A result as a file of its own; bytes that are no UTF-8 become U+FFFD.
std::string bench_serve_file_text(const Json& json);
std::string bench_serve_table(const BenchServeOptions& options, const ServerBench& bench);

std::string bench_serve_html(const BenchServeOptions& options, const ServerBench& bench);

}  // namespace tq
