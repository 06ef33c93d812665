// Options of every command that loads a model, options of sampling, and progress while a model is
// loaded.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "cli/command.h"
#include "session/open.h"
#include "session/sampling.h"

namespace tq {

// Registers --ignore-config: OpenOptions::ignore_config.
void add_ignore_config(CLI::App& command, std::vector<std::string>& fields);

// Registers MODEL and the options. default_ctx is what --ctx 0 means: "4096".
void add_model_options(CLI::App& command, ModelOptions& options, const std::string& default_ctx);

void add_sampling_options(CLI::App& command, SamplingOptions& options);

// Opens and loads the model, showing progress. Throws what these throw.
LoadedModel open_model(const ModelOptions& options, const ModelNeeds& needs,
                       const GlobalOptions& global);

// A JSON file that holds one list of token ids. Throws kNotFound, kCorrupt and, for ids outside
// [0, vocab), kInvalidArgument.
std::vector<int32_t> read_token_file(const std::string& path, int64_t vocab);

}  // namespace tq
