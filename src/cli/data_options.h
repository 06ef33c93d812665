// tq convert --effort data: the options that say what it is made of, and who follows them.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <string>

#include "cli/command.h"
#include "session/hessian_meter.h"

namespace tq {

struct DataOptions {
  std::string text;  // file; - is stdin
  int64_t n_tokens = 16384;
  uint64_t memory = 0;  // bytes; 0: half of what is free
};

void add_data_options(CLI::App& command, DataOptions& options);

// Throws kInvalidArgument without a text or a tokenizer for it, and what HessianMeter throws.
std::unique_ptr<HessianMeter> make_hessian_meter(const Checkpoint& source,
                                                 const DataOptions& options, int n_threads,
                                                 const GlobalOptions& global);

}  // namespace tq
