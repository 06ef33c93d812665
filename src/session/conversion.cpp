#include "session/conversion.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "convert/layouts/layout.h"
#include "convert/plan_file.h"
#include "session/hessian_meter.h"
#include "session/load.h"
#include "session/source_check.h"

namespace tq {
namespace {

const std::map<std::string, Effort> kEfforts = {{"fast", Effort::kFast},
                                                {"default", Effort::kDefault},
                                                {"best", Effort::kBest},
                                                {kDataEffort, Effort::kDefault},
                                                {"reference", Effort::kReference}};

FormatPlan measured_plan(const ConversionOptions& options, const Checkpoint& source,
                         const PlanOptions& plan, const ConversionCalls& calls) {
  if (!options.target.asked()) {
    fail(ErrorCode::kInvalidArgument, "--plan measured needs a size: --bpw or --fit");
  }
  if (!calls.measure) {
    fail(ErrorCode::kInvalidArgument,
         "measured plans are made by tq convert: give the file that its --write-plan has written");
  }
  return calls.measure(source, plan);
}

}  // namespace

std::vector<std::string> layout_names() {
  std::vector<std::string> names;
  for (const Layout* layout : all_layouts()) {
    if (layout->describe != nullptr) names.emplace_back(layout->name);
  }
  return names;
}

std::string layout_help() {
  std::string help;
  for (const Layout* layout : all_layouts()) {
    if (layout->describe == nullptr) continue;
    help += fmt::format("{}{} ({})", help.empty() ? "Files to write: " : ", ", layout->name,
                        layout->purpose);
  }
  return help;
}

std::string format_help() {
  return fmt::format(
      "Format of linear layers, all alike; auto is tq6 up to 400 million parameters, tq5 "
      "up to 2 billion, above {} where this machine's GPU or memory holds that, else {}, "
      "with more for keys, values and attention's output",
      kFourBits, kThreeBits);
}

std::string preset_help() {
  return "A format for each class of tensors instead of one for all: " + preset_names();
}

PlanOptions conversion_plan(const ConversionOptions& options, const Checkpoint& source,
                            const ConversionCalls& calls) {
  PlanOptions plan;
  plan.format = options.format;
  plan.preset = options.preset;
  plan.layout = &find_layout(options.layout);
  plan.ints = options.ints;
  if (options.asymmetric) plan.ints.symmetric = false;
  // What users of other converters type for a format of our own.
  if (plan.ints.bits && plan.layout->survey == nullptr && plan.format == "auto" &&
      plan.preset.empty() && options.plan.empty()) {
    plan.format = fmt::format("tq{}", *plan.ints.bits);
    plan.ints.bits.reset();
  }
  if (!options.rules.empty()) plan.rules = read_rules(options.rules);
  if (options.plan == kMeasuredPlan) {
    plan.formats = measured_plan(options, source, plan, calls);
  } else if (!options.plan.empty()) {
    if (options.target.asked()) {
      fail(ErrorCode::kInvalidArgument,
           "--plan {} says all formats: leave --fit and --bpw out (they go with --plan measured)",
           options.plan);
    }
    PlanFile file = read_plan(options.plan);
    check_layers(file.formats, source, options.plan);
    plan.formats = std::move(file.formats);
    plan.rules.insert(plan.rules.end(), file.rules.begin(), file.rules.end());
  } else if (options.target.asked()) {
    plan.formats = choose_formats(source, plan, options.target);
  } else if (plan.layout->survey == nullptr) {
    fit_this_machine(source, {}, plan);
  }
  return plan;
}

void check_conversion(const ConversionOptions& options) {
  const int n_chosen = static_cast<int>(options.format != "auto") +
                       static_cast<int>(!options.preset.empty()) +
                       static_cast<int>(!options.plan.empty());
  if (n_chosen > 1) {
    fail(ErrorCode::kInvalidArgument, "format, preset and plan exclude each other: give one");
  }
  const SizeTarget& target = options.target;
  if (target.asked() && options.plan.empty() && n_chosen > 0) {
    fail(ErrorCode::kInvalidArgument,
         "fit and bpw choose the formats: leave format and preset out");
  }
  if (target.memory_bytes > 0 && target.bits_per_weight > 0) {
    fail(ErrorCode::kInvalidArgument, "fit and bpw exclude each other: give one");
  }
  if (options.effort == kDataEffort && options.layout != kNativeLayout.name) {
    fail(ErrorCode::kInvalidArgument, "effort data is for layout {}: {} cannot be used with it",
         kNativeLayout.name, options.layout);
  }
  if (options.effort == kDataEffort && options.data.text.empty()) {
    fail(ErrorCode::kInvalidArgument, "effort data needs a text: --data FILE");
  }
  if (options.effort != kDataEffort && !options.data.text.empty()) {
    fail(ErrorCode::kInvalidArgument, "--data is read with --effort data");
  }
  if (options.shard_bytes == 0) {
    fail(ErrorCode::kInvalidArgument, "shard_size is 0: a file needs more");
  }
}

namespace {

TextIds read_data(const Checkpoint& source, const DataOptions& options) {
  const auto tokenizer = read_tokenizer(source);
  if (!tokenizer) {
    fail(ErrorCode::kInvalidArgument, "{} has no tokenizer, which effort data reads text by",
         source.path().string());
  }
  TextIds text = split_bos(
      *tokenizer, tokenizer->encode(read_text_file(options.text), {.parse_special = false}));
  text.ids.resize(std::min(text.ids.size(), static_cast<size_t>(options.n_tokens)));
  return text;
}

// Null for another effort than data.
std::unique_ptr<HessianMeter> hessian_meter(const Checkpoint& source,
                                            const ConversionOptions& options,
                                            const ConversionCalls& calls) {
  if (options.effort != kDataEffort) return nullptr;
  HessianMeterOptions meter;
  meter.text = read_data(source, options.data);
  if (options.data.memory > 0) meter.memory_bytes = static_cast<int64_t>(options.data.memory);
  meter.n_threads = options.threads;
  meter.progress = calls.reading;
  meter.cancelled = calls.cancelled;
  return std::make_unique<HessianMeter>(source, std::move(meter));
}

}  // namespace

std::optional<ConvertReport> run_conversion(const std::string& source,
                                            const std::string& destination,
                                            const ConversionOptions& options,
                                            const ConversionCalls& calls) {
  check_conversion(options);
  ConvertOptions convert_options;
  convert_options.destination = destination;
  if (!options.effort.empty()) convert_options.effort = kEfforts.at(options.effort);
  convert_options.n_threads = options.threads;
  convert_options.shard_bytes = options.shard_bytes;
  convert_options.allow_nan = options.allow_nan;
  convert_options.resume = options.resume;
  convert_options.overwrite = options.overwrite;
  convert_options.anyway = options.anyway;
  std::unique_ptr<Checkpoint> checkpoint;
  try {
    checkpoint = open_checkpoint(source, {.ignore_config = options.ignore_config});
  } catch (const Error& error) {
    if (!options.resume || !finish_conversion(destination)) throw;
    warn("{}", error.what());
    return std::nullopt;
  }
  require_sound_source(*checkpoint, options.anyway);
  convert_options.plan = conversion_plan(options, *checkpoint, calls);
  if (calls.progress) {
    convert_options.progress = [&](const ConvertProgress& now) {
      calls.progress(now.done_bytes, now.total_bytes);
    };
  }
  convert_options.notes = [](const std::vector<std::string>& notes) {
    for (const std::string& note : notes) info("{}", note);
  };
  convert_options.cancelled = calls.cancelled;
  if (calls.begins) calls.begins();
  const std::unique_ptr<HessianMeter> hessians = hessian_meter(*checkpoint, options, calls);
  convert_options.hessians = hessians.get();
  return convert(*checkpoint, convert_options);
}

Json conversion_json(const std::optional<ConvertReport>& report, const std::string& destination) {
  if (!report) return {{"destination", destination}, {"finished_earlier", true}};
  Json json = report->to_json();
  json["destination"] = destination;
  json["resumed_tensors"] = report->resumed;
  json["seconds"] = report->seconds;
  json["threads"] = report->work.n_threads;
  json["encoded_weights"] = report->work.n_weights;
  json["encode_seconds"] = report->work.encode_seconds();
  json["written_bytes"] = report->work.written_bytes;
  json["write_seconds"] = report->work.write_seconds;
  return json;
}

}  // namespace tq
