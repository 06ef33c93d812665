// A conversion as a user asks for it: the options, what they mean for a source, and running it. For
// tq convert and for programs that have the engine inside.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "convert/convert.h"
#include "session/fit.h"
#include "session/options.h"

namespace tq {

// What effort "data" is made of.
struct DataOptions {
  std::string text;          // file
  int64_t n_tokens = 16384;  // of its beginning
  uint64_t memory = 0;       // bytes; 0: half of what is free
};

struct ConversionOptions {
  std::string format = "auto";
  std::string preset;
  std::string plan;  // file, or kMeasuredPlan
  std::string rules;
  std::string effort;  // empty: what the layout implies; or kDataEffort
  DataOptions data;
  std::string layout = "native";
  IntOptions ints;
  bool asymmetric = false;  // of these
  SizeTarget target;
  uint64_t shard_bytes = 4'000'000'000;
  int threads = 0;
  bool allow_nan = false;
  bool resume = true;
  bool overwrite = false;
  bool anyway = false;
  std::vector<std::string> ignore_config;
};

constexpr const char* kMeasuredPlan = "measured";  // a file of this name is ./measured
constexpr const char* kDataEffort = "data";

// Texts of help that are made of lists.
std::vector<std::string> layout_names();  // of those that a conversion writes
std::string layout_help();
std::string format_help();
std::string preset_help();

// What becomes of tensors.
template <typename Visit>
void visit_format_options(ConversionOptions& options, Visit&& visit) {
  const std::string formats = format_help();
  const std::string presets = preset_help();
  visit(OptionText{"format", formats}, options.format, FormatName{});
  visit(OptionText{"preset", presets}, options.preset, AnyValue{});
  visit(OptionText{"plan",
                   "JSON file with a format for each class of tensors, layers and tensors, as "
                   "--write-plan writes it; or \"measured\": with --bpw or --fit, by what each "
                   "group of tensors does to the predictions on random tokens (takes long)"},
        options.plan, AnyValue{});
}
// How it is written.
template <typename Visit>
void visit_write_options(ConversionOptions& options, Visit&& visit) {
  const std::string layouts = layout_help();
  visit(OptionText{"rules",
                   "JSON list of {\"match\": name pattern, \"format\": format or \"keep\"}, tried "
                   "before the default rules"},
        options.rules, AnyValue{});
  visit(OptionText{"effort",
                   "Search of the encoder: fast, default, best, or reference for its exact bytes; "
                   "or data: rounds by what a text shows of the linears' inputs, which takes long "
                   "and loses less"},
        options.effort, OneOf{{"fast", "default", "best", "reference", kDataEffort}});
  visit(OptionText{"layout", layouts}, options.layout, OneOf{layout_names()});
}
template <typename Visit>
void visit_data_options(DataOptions& options, Visit&& visit) {
  visit(OptionText{"data", "UTF-8 text file, such as the model will read and write"}, options.text,
        AnyValue{});
  visit(OptionText{"data-tokens", "Tokens of it that are read; more take longer"}, options.n_tokens,
        Range{512, int64_t{1} << 24});
  visit(
      OptionText{"data-memory",
                 "Memory for what is found out at a time: with less, the text is read more often; "
                 "0 is half of what is free"},
      options.memory, ByteSize{});
}
// What the layouts of integers ask for.
template <typename Visit>
void visit_int_options(ConversionOptions& options, Visit&& visit) {
  visit(OptionText{"bits",
                   "Bits of a weight: 3, 4 (without this option) or 8; in other layouts --format "
                   "tqBITS"},
        options.ints.bits, AnyValue{});
  visit(OptionText{"asymmetric", "With a zero point for each group, as awq always has"},
        options.asymmetric, AnyValue{});
  visit(OptionText{"group-size",
                   "Weights that share a scale: 32, 64 or 128; without this option the largest "
                   "that divides each linear's inputs"},
        options.ints.group, AnyValue{});
  visit(OptionText{"tp",
                   "GPUs among which an engine will split the model (tensor parallelism): groups "
                   "are chosen so that each has whole ones"},
        options.ints.tensor_parallel, AnyValue{});
}
// Files, and what is done about what is wrong.
template <typename Visit>
void visit_file_options(ConversionOptions& options, Visit&& visit) {
  visit(OptionText{"shard-size", "Most bytes of a file, e.g. 4GB; larger results are split"},
        options.shard_bytes, ByteSize{});
  visit(OptionText{"threads", "Threads; 0 is all CPUs"}, options.threads, Range{0, INT32_MAX});
  visit(OptionText{"allow-nan", "Store weights that are not finite as 0"}, options.allow_nan,
        AnyValue{});
  visit(OptionText{"resume", "Continue an interrupted conversion (the default), or start over"},
        options.resume, Switch{});
  visit(OptionText{"overwrite", "Replace a complete checkpoint in DST"}, options.overwrite,
        AnyValue{});
  visit(OptionText{"anyway",
                   "Convert a source that cannot be run, with a warning instead of an error"},
        options.anyway, AnyValue{});
}
template <typename Visit>
void visit_options(ConversionOptions& options, Visit&& visit) {
  visit_format_options(options, visit);
  visit_options(options.target, visit);
  visit_write_options(options, visit);
  visit_data_options(options.data, visit);
  visit_int_options(options, visit);
  visit_file_options(options, visit);
  visit_ignore_config(options.ignore_config, visit);
}

// Each may be empty.
struct ConversionCalls {
  std::function<void(int64_t done, int64_t total)> progress;  // bytes of the source's tensors
  std::function<void(int64_t done, int64_t total)> reading;   // tokens of DataOptions::text
  std::function<void()> begins;     // the plan is made, and tensors are to be written
  std::function<bool()> cancelled;  // ConvertOptions::cancelled
  // Chooses by measurements, for kMeasuredPlan, which is refused without.
  std::function<FormatPlan(const Checkpoint& source, const PlanOptions& plan)> measure;
};

// Throws kInvalidArgument for options that exclude each other, and for what is missing.
void check_conversion(const ConversionOptions& options);

// What every tensor of the source becomes. Throws kInvalidArgument for options that contradict each
// other, and what reading a plan's or rules' file throws.
PlanOptions conversion_plan(const ConversionOptions& options, const Checkpoint& source,
                            const ConversionCalls& calls);

// Converts, which an earlier run may have begun. Nothing when that had all but put its result in
// its place, and the source cannot be read any more. Notes and warnings are logged. Throws what
// convert() and require_sound_source() throw.
std::optional<ConvertReport> run_conversion(const std::string& source,
                                            const std::string& destination,
                                            const ConversionOptions& options,
                                            const ConversionCalls& calls);

// ConvertReport::to_json() and what is of this run; without a report {"destination",
// "finished_earlier": true}.
Json conversion_json(const std::optional<ConvertReport>& report, const std::string& destination);

}  // namespace tq
