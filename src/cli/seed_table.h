// tq bench serve --preset seed-table: this engine's throughput by concurrency, beside a known
// table.
#pragma once

#include "cli/bench_serve.h"

namespace tq {

// Fills in what the preset says, where nothing was typed.
void apply_seed_table(BenchServeOptions& options);

// Serves the models of the options, one after the other, measures each and prints the table.
void run_seed_table(const BenchServeOptions& options, const GlobalOptions& global);

}  // namespace tq
