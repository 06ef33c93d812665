// Options of every command that loads a model, and the loading itself: compression on the fly,
// progress, context and KV sizes.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "convert/plan.h"
#include "engine/load.h"

namespace tq {

// A context as long as memory allows.
constexpr int64_t kLongestContext = -1;

struct ModelOptions {
  std::string path;
  std::string format;  // empty: as stored, auto for synthetic models
  std::string preset;  // instead of a format
  bool exact = false;
  std::string device = "auto";
  uint64_t gpu_memory = 0;       // bytes at most; 0: what is free
  std::string kernels = "auto";  // of the GPU
  bool batch_invariant = false;
  int threads = 0;
  int64_t ctx = 0;  // tokens; 0: what the command needs
  std::string kv_dtype = "auto";
  int64_t batch = 512;
  std::vector<std::string> ignore_config;  // fields of the config

  // f16, or f32 with --exact, unless chosen.
  KvDType kv() const;
};

// Registers --ignore-config: OpenOptions::ignore_config.
void add_ignore_config(CLI::App& command, std::vector<std::string>& fields);

// Registers MODEL and the options. default_ctx is what --ctx 0 means: "4096".
void add_model_options(CLI::App& command, ModelOptions& options, const std::string& default_ctx);

// What a command needs beyond the options.
struct ModelNeeds {
  int64_t max_sequences = 1;
  int64_t default_ctx = 4096;  // where --ctx is 0; at most what the model was trained for
  bool logits_of_all = false;  // of every token of a forward call, not only of the last
  bool as_stored = false;      // synthetic models too, which are compressed otherwise
  bool text = false;           // a tokenizer that cannot be used is an error
};

// Opens and loads the model, showing progress. Throws what these throw.
LoadedModel open_model(const ModelOptions& options, const ModelNeeds& needs,
                       const GlobalOptions& global);

// LoadOptions::format_for as a plan of tq convert has it.
std::function<std::string(const TensorEntry&)> formats_at_load(const Checkpoint& checkpoint,
                                                               const ConvertPlan& plan);

// A JSON file that holds one list of token ids. Throws kNotFound, kCorrupt and, for ids outside
// [0, vocab), kInvalidArgument.
std::vector<int32_t> read_token_file(const std::string& path, int64_t vocab);

}  // namespace tq
