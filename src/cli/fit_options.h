// The command line's side of session/fit.h.
#pragma once

#include <CLI/CLI.hpp>
#include <vector>

#include "session/fit.h"

namespace tq {

// Registers --ctx, --kv-dtype and --batch.
void add_fit_options(CLI::App& command, FitOptions& options);

// Registers --fit, --bpw and the options above; both exclude `others`.
void add_size_target(CLI::App& command, SizeTarget& target,
                     const std::vector<CLI::Option*>& others);

}  // namespace tq
