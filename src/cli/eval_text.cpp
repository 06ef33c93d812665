#include "cli/eval_text.h"

#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "cli/input.h"

namespace tq {

TextIds read_ids(const EvalOptions& options, const LoadedModel& loaded) {
  TextIds out;
  if (!options.tokens.empty()) {
    out.ids = read_token_file(options.tokens, loaded.model->spec().vocab);
  } else if (options.text.empty()) {
    fail(ErrorCode::kInvalidArgument, "nothing to score: give --text FILE or --tokens FILE.json");
  } else if (!loaded.tokenizer) {
    fail(ErrorCode::kInvalidArgument,
         "{} has no tokenizer.json: give the text as token ids with --tokens",
         loaded.checkpoint->path().string());
  } else {
    out = split_bos(*loaded.tokenizer,
                    loaded.tokenizer->encode(
                        options.text == "-" ? read_stdin("the text") : read_text_file(options.text),
                        {.parse_special = false}));
  }
  const auto limit = static_cast<size_t>(options.max_tokens);
  if (limit > 0 && out.ids.size() > limit) out.ids.resize(limit);
  return out;
}

int64_t window_length(const TextIds& ids, const LoadedModel& loaded) {
  return loaded.model->options().max_context - static_cast<int64_t>(ids.prefix.size());
}

int64_t stride_of(const EvalOptions& options, int64_t length) {
  return options.stride > 0 ? options.stride : length;
}

EvalText plan_windows(const TextIds& ids, const EvalOptions& options, const LoadedModel& loaded) {
  const int64_t length = window_length(ids, loaded);
  EvalText text{.ids = ids.ids,
                .prefix = ids.prefix,
                .windows = eval_windows(static_cast<int64_t>(ids.ids.size()), length,
                                        stride_of(options, length), !ids.prefix.empty())};
  if (text.windows.empty()) {
    fail(ErrorCode::kInvalidArgument, "{} tokens are too few to predict one from another",
         ids.ids.size());
  }
  return text;
}

LoadedModel open_reference(const EvalOptions& options, const LoadedModel& loaded,
                           const GlobalOptions& global) {
  ModelOptions reference = options.model.as_reference(options.reference);
  reference.ctx = loaded.model->options().max_context;
  const ModelNeeds needs{.default_ctx = kDefaultWindow, .logits_of_all = true, .as_stored = true};
  return open_model(reference, needs, global);
}

LogitReader make_reader(const LoadedModel& loaded) {
  const LoadOptions& options = loaded.model->options();
  return LogitReader(*loaded.model, options.kv.format, options.max_context);
}

void add_reference(Json& json, const EvalOptions& options, const LoadedModel& reference) {
  json["reference"] = options.reference;
  json["reference_kv_dtype"] = kv_format_traits(reference.model->options().kv.format).name;
}

Json perplexity(const RunningMean& nll) {
  const double ppl = std::exp(nll.mean());
  return {{"ppl", ppl}, {"ppl_se", ppl * nll.standard_error()}};
}

void check_same_vocab(const EvalOptions& options, const LoadedModel& a, const LoadedModel& b) {
  if (a.model->spec().vocab != b.model->spec().vocab) {
    fail(ErrorCode::kInvalidArgument, "vocabularies differ: {} has {} rows, {} has {}",
         options.model.path, a.model->spec().vocab, options.reference, b.model->spec().vocab);
  }
}

void check_same_ids(const EvalOptions& options, const LoadedModel& a, const LoadedModel& b,
                    const TextIds& ids) {
  check_same_vocab(options, a, b);
  if (options.tokens.empty() && b.tokenizer && read_ids(options, b).ids != ids.ids) {
    fail(ErrorCode::kInvalidArgument, "the tokenizers of {} and {} give different ids",
         options.model.path, options.reference);
  }
}

void add_scored_text_options(CLI::App& command, EvalOptions& options) {
  CLI::Option* text =
      command.add_option("--text", options.text, "UTF-8 text file to score; - is stdin");
  command.add_option("--tokens", options.tokens, "JSON file with a list of token ids to score")
      ->excludes(text);
  command
      .add_option("--stride", options.stride,
                  "Tokens from one window to the next; 0 is the whole window (no overlap)")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 24));
  command.add_option("--max-tokens", options.max_tokens, "Score the first tokens only; 0 is all")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 40));
}

void add_text_options(CLI::App& command, EvalOptions& options) {
  add_model_options(command, options.model, std::to_string(kDefaultWindow));
  add_scored_text_options(command, options);
}

}  // namespace tq
