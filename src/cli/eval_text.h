// Texts that tq eval scores: options, ids, windows.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "cli/command.h"
#include "cli/model_options.h"
#include "engine/evaluate.h"
#include "text/tokenizer.h"

namespace tq {

constexpr int64_t kDefaultWindow = 2048;

struct EvalOptions {
  ModelOptions model;
  std::string text;
  std::string tokens;
  int64_t stride = 0;
  int64_t max_tokens = 0;
  std::string reference;
  std::string save_reference;
  std::string reference_logits;
};

// --text, --tokens, --stride and --max-tokens.
void add_scored_text_options(CLI::App& command, EvalOptions& options);
// Those and MODEL with its options.
void add_text_options(CLI::App& command, EvalOptions& options);

// Throws kInvalidArgument where there is no text, or no tokenizer for it.
TextIds read_ids(const EvalOptions& options, const LoadedModel& loaded);

// Tokens of a window, without the prefix.
int64_t window_length(const TextIds& ids, const LoadedModel& loaded);
int64_t stride_of(const EvalOptions& options, int64_t length);

// ids is borrowed. Throws kInvalidArgument for a text that is too short.
EvalText plan_windows(const TextIds& ids, const EvalOptions& options, const LoadedModel& loaded);

// options.reference as it is stored, with the default KV cache and the context of `loaded`: the
// same windows.
LoadedModel open_reference(const EvalOptions& options, const LoadedModel& loaded,
                           const GlobalOptions& global);

// Reads logits over a KV cache of the format that the model was opened with.
LogitReader make_reader(const LoadedModel& loaded);

// "reference" and "reference_kv_dtype", the format of the KV cache that it was read with.
void add_reference(Json& json, const EvalOptions& options, const LoadedModel& reference);

// exp(mean) and its standard error by the first-order rule: {"ppl", "ppl_se"}.
Json perplexity(const RunningMean& nll);

// Both models must have as many ids.
void check_same_vocab(const EvalOptions& options, const LoadedModel& a, const LoadedModel& b);
// Both models must mean the same by an id, and the windows of one must suit the other.
void check_same_ids(const EvalOptions& options, const LoadedModel& a, const LoadedModel& b,
                    const TextIds& ids);

}  // namespace tq
