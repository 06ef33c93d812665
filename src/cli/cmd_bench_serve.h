// tq bench serve hangs below tq bench.
#pragma once

#include "cli/command.h"

namespace tq {

void add_bench_serve(CLI::App& bench, const GlobalOptions& global);

}  // namespace tq
