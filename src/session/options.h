// Options as all front ends have them. Each is stated once, by a row of a visit_options function:
// name, help, the variable (whose value is the default) and what it may be. From these rows come
// the command line's flags, help, environment variables, config file entries and man pages
// (cli/option_flags.h), and options in JSON or as keyword arguments
// (read_options, option_reader.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "session/grammars.h"
#include "session/open.h"
#include "session/sampling.h"

namespace tq {

struct OptionText {
  std::string_view name;  // "top-k"; in JSON "top_k"
  std::string_view help;
  std::string_view also = {};  // another name; of one letter on the command line only
};

constexpr int64_t kMostNearTokens = int64_t{1} << 20;  // of --kv-sink and --kv-tail

// What values an option takes.
struct AnyValue {};
struct OneOf {
  std::vector<std::string> names;
};
struct Range {
  int64_t least;
  int64_t most;
};
struct FormatName {};      // of weights, or auto
struct KvFormatName {};    // or auto
struct ByteSize {};        // 12884901888, "12GiB"
struct ContextLength {};   // 4096, "32k", "auto": kLongestContext
struct TokenCount {};      // the same without auto
struct StoredKvFormat {};  // a KV format, without auto
struct Decimals {          // numbers with a fraction
  double least;
  double most;
};
struct Switch {};  // true or false; on the command line also as --no-NAME
struct Seed {};    // -1: one is drawn now

template <typename Visit>
void visit_ignore_config(std::vector<std::string>& fields, Visit&& visit) {
  visit(OptionText{"ignore-config",
                   "Take a field of config.json (of GGUF: a metadata key) as if it were not there; "
                   "may be given again"},
        fields, AnyValue{});
}

// visit(OptionText, variable, what it may be) for each option, in the order of help. Words in
// braces stand in help for lists and numbers (the command line's are in cli/model_options.cpp).
template <typename Visit>
void visit_options(ModelOptions& options, Visit&& visit) {
  visit(OptionText{"format",
                   "Compress at load to this storage format, as tq convert plans it (fast effort); "
                   "without it weights stay as stored, and synthetic ones become auto"},
        options.format, FormatName{});
  visit(OptionText{"preset", "Compress at load to a format for each class of tensors: {presets}"},
        options.preset, AnyValue{});
  visit(OptionText{"exact", "Compute with fp32 activations and KV cache throughout (slower)"},
        options.exact, AnyValue{});
  visit(OptionText{"device",
                   "Where to compute: cpu, cuda, cuda:N, or auto: a GPU if there is one (tq "
                   "devices)"},
        options.device, AnyValue{});
  visit(
      OptionText{"gpu-memory", "GPU memory to use at most, such as 12GiB; without it what is free"},
      options.gpu_memory, ByteSize{});
  visit(OptionText{"kernels",
                   "Matrix products of the GPU: auto, or only those of one tier (tq devices "
                   "--kernels)"},
        options.kernels, OneOf{{"auto", "fused", "dequant", "reference"}});
  visit(OptionText{"batch-invariant",
                   "GPU: the same bits for a sequence whatever else is in its batch (slower for "
                   "few)"},
        options.batch_invariant, AnyValue{});
  visit(OptionText{"threads", "CPU threads; 0 is every CPU available"}, options.threads,
        Range{0, 4096});
  visit(OptionText{"ctx",
                   "Context in tokens; 0 is {default}, or the model's own if that is less; auto: "
                   "the longest that fits in memory",
                   "max-model-len"},
        options.ctx, ContextLength{});
  visit(OptionText{"kv-format",
                   "Format of the KV cache: numbers of 16 or 32 bits, or kXvY: keys of X bits and "
                   "values of Y; auto is {kv}, with --exact {exact_kv}",
                   "kv-dtype"},
        options.kv_format, KvFormatName{});
  visit(OptionText{"kv-sink",
                   "Of a compressed KV format: the first tokens of a sequence stay 16-bit numbers"},
        options.kv_sink, Range{0, kMostNearTokens});
  visit(OptionText{"kv-tail", "Likewise: the last tokens before the one that is computed"},
        options.kv_tail, Range{0, kMostNearTokens});
  visit(OptionText{"kv-skip-layers", "Likewise: this many of the first and of the last layers"},
        options.kv_skip_layers, Range{0, 4096});
  visit(OptionText{"batch", "Tokens of one forward pass at most"}, options.batch,
        Range{1, int64_t{1} << 16});
  visit_ignore_config(options.ignore_config, visit);
}

template <typename Visit>
void visit_options(GrammarOptions& options, Visit&& visit) {
  visit(OptionText{"grammar",
                   "Grammar that the answer follows, as llama.cpp writes it (GBNF): a file, or the "
                   "text"},
        options.grammar, AnyValue{});
  visit(OptionText{"json-schema",
                   "JSON schema of the answer: a file, or the text; {} is any JSON value"},
        options.json_schema, AnyValue{});
  visit(OptionText{"regex", "Regular expression that the whole answer matches"}, options.regex,
        AnyValue{});
}

// What the numbers may be: SamplingParams::validate().
template <typename Visit>
void visit_options(SamplingOptions& options, Visit&& visit) {
  visit(OptionText{"max-tokens",
                   "Tokens to generate at most; -1: what the context leaves, in run without it 512 "
                   "at most",
                   "n"},
        options.max_tokens, AnyValue{});
  visit(OptionText{"temp", "Temperature; 0 is greedy", "temperature"}, options.temperature,
        AnyValue{});
  visit(OptionText{"top-k", "Keep the k best tokens; 0 is off"}, options.top_k, AnyValue{});
  visit(OptionText{"top-p", "Keep the best tokens of this probability mass"}, options.top_p,
        AnyValue{});
  visit(OptionText{"min-p", "Drop tokens below this fraction of the best one's probability"},
        options.min_p, AnyValue{});
  visit(OptionText{"repeat-penalty", "Divide logits of tokens already seen by this; 1 is off",
                   "repetition-penalty"},
        options.repeat_penalty, AnyValue{});
  visit(OptionText{"presence-penalty", "Subtract from logits of generated tokens"},
        options.presence_penalty, AnyValue{});
  visit(OptionText{"frequency-penalty", "Subtract for every time a token was generated"},
        options.frequency_penalty, AnyValue{});
  visit(
      OptionText{"seed",
                 "The same seed gives the same text; -1, or none given: one is drawn and printed"},
      options.seed, Seed{});
  visit(OptionText{"stop", "Text that ends the output; may be repeated"}, options.stop, AnyValue{});
  visit(OptionText{"logit-bias", "ID=VALUE added to a logit; may be repeated"}, options.logit_bias,
        AnyValue{});
  visit(OptionText{"ignore-eos", "Do not stop at end-of-sequence tokens"}, options.ignore_eos,
        AnyValue{});
  visit(OptionText{"thinking-budget",
                   "Tokens of reasoning at most, of models that mark it: then it is closed and the "
                   "answer begins"},
        options.thinking_budget, Range{0, int64_t{1} << 30});
}

// Puts the fields of a JSON object into the options, and leaves the others as they are:
// {"ctx": "32k", "device": "cpu"}. Throws kInvalidArgument, naming the field, for values that an
// option cannot have, and for fields that are no options; then some may have been set.
void read_options(const Json& object, ModelOptions& options);
void read_options(const Json& object, SamplingOptions& options);

}  // namespace tq
