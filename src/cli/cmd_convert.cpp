// tq convert: a checkpoint in, a compressed checkpoint out.
#include <fmt/format.h>

#include <csignal>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/human.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/convert_report.h"
#include "cli/data_options.h"
#include "cli/fit_options.h"
#include "cli/interrupt.h"
#include "cli/measured.h"
#include "cli/model_options.h"
#include "cli/progress.h"
#include "cli/result.h"
#include "cli/sizes.h"
#include "cli/source_check.h"
#include "cli/values.h"
#include "convert/convert.h"
#include "convert/layouts/layout.h"
#include "convert/plan_file.h"

namespace tq {
namespace {

struct ConvertCommand {
  std::string source;
  std::string destination;
  std::string format = "auto";
  std::string preset;
  std::string plan;      // file, or kMeasured
  std::string measured;  // file of measurements; empty: beside the result
  MeasureOptions measure;
  std::string device = "cpu";  // to measure on
  std::string write_plan;      // file, instead of a destination
  std::string rules;
  std::string effort;  // empty: what the layout implies; or kDataEffort
  DataOptions data;
  std::string layout = "native";
  IntOptions ints;
  SizeTarget target;
  uint64_t shard_bytes = 4'000'000'000;
  int threads = 0;
  bool allow_nan = false;
  bool no_resume = false;
  bool overwrite = false;
  bool anyway = false;
  std::vector<std::string> ignore_config;
};

constexpr const char* kMeasured = "measured";  // a file of this name is ./measured

constexpr const char* kDataEffort = "data";
const std::map<std::string, Effort> kEfforts = {{"fast", Effort::kFast},
                                                {"default", Effort::kDefault},
                                                {"best", Effort::kBest},
                                                {kDataEffort, Effort::kDefault},
                                                {"reference", Effort::kReference}};

// Those that this command writes.
std::vector<std::string> layouts() {
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

// A result that an earlier run had whole and this one only put in its place.
void print_finished(const std::string& destination, const GlobalOptions& global) {
  if (global.json) {
    Json json = result_json("convert");
    json.update({{"destination", destination}, {"finished_earlier", true}});
    print_json(json);
  } else {
    print_text(fmt::format("{}: put in place what an earlier run had finished\n", destination));
  }
}

// A folder's name, however many slashes are behind it.
std::string without_slashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

// --plan measured: measures what is not known yet, and chooses by it.
FormatPlan choose_measured(const ConvertCommand& command, const Checkpoint& source,
                           const PlanOptions& plan, const GlobalOptions& global) {
  if (!command.target.asked()) {
    fail(ErrorCode::kInvalidArgument, "--plan measured needs a size: --bpw or --fit");
  }
  const std::string& result =
      command.destination.empty() ? command.write_plan : command.destination;
  const std::string file =
      command.measured.empty() ? without_slashes(result) + ".measured.json" : command.measured;
  ModelOptions model;
  model.path = command.source;
  model.device = command.device;
  model.threads = command.threads;
  model.ignore_config = command.ignore_config;
  LazyMeter meter(model, command.measure);
  const Measurements measurements = measure_groups(source, meter, command.measure, file, global);
  return choose_formats(source, plan, command.target, &measurements);
}

// What every tensor becomes, from the options.
PlanOptions plan_options(const ConvertCommand& command, const Checkpoint& source,
                         const GlobalOptions& global) {
  PlanOptions plan;
  plan.format = command.format;
  plan.preset = command.preset;
  plan.layout = &find_layout(command.layout);
  plan.ints = command.ints;
  // What users of other converters type for a format of our own.
  if (plan.ints.bits && plan.layout->survey == nullptr && plan.format == "auto" &&
      plan.preset.empty() && command.plan.empty()) {
    plan.format = fmt::format("tq{}", *plan.ints.bits);
    plan.ints.bits.reset();
  }
  if (!command.rules.empty()) plan.rules = read_rules(command.rules);
  if (command.plan == kMeasured) {
    plan.formats = choose_measured(command, source, plan, global);
  } else if (!command.plan.empty()) {
    if (command.target.asked()) {
      fail(ErrorCode::kInvalidArgument,
           "--plan {} says all formats: leave --fit and --bpw out (they go with --plan measured)",
           command.plan);
    }
    PlanFile file = read_plan(command.plan);
    check_layers(file.formats, source, command.plan);
    plan.formats = std::move(file.formats);
    plan.rules.insert(plan.rules.end(), file.rules.begin(), file.rules.end());
  } else if (command.target.asked()) {
    plan.formats = choose_formats(source, plan, command.target);
  } else if (plan.layout->survey == nullptr) {
    fit_this_machine(source, {}, plan);
  }
  return plan;
}

// --write-plan: what would be done, for a later --plan.
void write_plan(const ConvertCommand& command, const Checkpoint& source,
                const GlobalOptions& global) {
  if (command.layout != "native") {
    fail(ErrorCode::kInvalidArgument, "--layout {} has no plans to write", command.layout);
  }
  const PlanOptions options = plan_options(command, source, global);
  const ConvertPlan plan = make_plan(source, options);
  for (const std::string& note : plan.notes) info("{}", note);
  const double bits = bits_per_weight(source, plan);
  const Json about = {{"source", base_name(source.path())},
                      {"bits_per_weight", bits},
                      {"stored_bytes", stored_bytes(plan)}};
  write_file_atomic(command.write_plan,
                    plan_json({plan.formats, options.rules, about}).dump(2) + "\n");
  const std::string formats = describe_formats(plan.formats, plan);
  if (global.json) {
    Json json = result_json("convert");
    json.update({{"plan", command.write_plan}, {"formats", formats}});
    json.update(about);
    print_json(json);
  } else {
    print_text(fmt::format("{}: {}; {:.3f} bits a weight, {}\n", command.write_plan, formats, bits,
                           human_bytes(static_cast<double>(stored_bytes(plan)))));
  }
}

// --effort data; null for any other.
std::unique_ptr<HessianMeter> hessian_meter(const ConvertCommand& command, const Checkpoint& source,
                                            const GlobalOptions& global) {
  if (command.effort != kDataEffort) {
    if (command.data.text.empty()) return nullptr;
    fail(ErrorCode::kInvalidArgument, "--data is read with --effort data");
  }
  if (command.layout != kNativeLayout.name) {
    fail(ErrorCode::kInvalidArgument, "--effort data is for --layout {}: {} cannot be used with it",
         kNativeLayout.name, command.layout);
  }
  return make_hessian_meter(source, command.data, command.threads, global);
}

void run_convert(const ConvertCommand& command, const GlobalOptions& global) {
  if (command.destination.empty() == command.write_plan.empty()) {
    fail(ErrorCode::kInvalidArgument, "give DST, the folder to write, or --write-plan FILE");
  }
  // A file size limit (ulimit -f) becomes an error of write() like a full disk, not the end of us.
  std::signal(SIGXFSZ, SIG_IGN);
  ConvertOptions options;
  options.destination = command.destination;
  if (!command.effort.empty()) options.effort = kEfforts.at(command.effort);
  options.n_threads = command.threads;
  options.shard_bytes = command.shard_bytes;
  options.allow_nan = command.allow_nan;
  options.resume = !command.no_resume;
  options.overwrite = command.overwrite;
  options.anyway = command.anyway;

  std::unique_ptr<Checkpoint> source;
  try {
    source = open_checkpoint(command.source, {.ignore_config = command.ignore_config});
  } catch (const Error& error) {
    if (command.no_resume || command.destination.empty() ||
        !finish_conversion(command.destination)) {
      throw;
    }
    warn("{}", error.what());
    print_finished(command.destination, global);
    return;
  }
  require_sound_source(*source, command.anyway);
  if (!command.write_plan.empty()) return write_plan(command, *source, global);
  options.plan = plan_options(command, *source, global);
  const InterruptScope interrupt;
  const std::unique_ptr<HessianMeter> hessians = hessian_meter(command, *source, global);
  options.hessians = hessians.get();
  Progress progress(global, "converting", ProgressUnit::kBytes);
  options.progress = [&](const ConvertProgress& now) {
    progress.update(now.done_bytes, now.total_bytes);
  };
  options.notes = [](const std::vector<std::string>& notes) {
    for (const std::string& note : notes) info("{}", note);
  };
  options.cancelled = InterruptScope::interrupted;
  const ConvertReport report = convert(*source, options);
  progress.finish();
  print_report(report, command.destination, global);
}

// What the layouts of integers ask for.
void add_int_options(CLI::App& command, const std::shared_ptr<ConvertCommand>& options) {
  constexpr const char* kGroup = "Layouts awq and compressed-tensors";
  command
      .add_option_function<int>(
          "--bits", [options](int bits) { options->ints.bits = bits; },
          "Bits of a weight: 3, 4 (without this option) or 8; in other layouts --format tqBITS")
      ->group(kGroup);
  command
      .add_flag_function(
          "--asymmetric", [options](int64_t given) { options->ints.symmetric = given <= 0; },
          "With a zero point for each group, as awq always has")
      ->group(kGroup);
  command
      .add_option_function<int>(
          "--group-size", [options](int group) { options->ints.group = group; },
          "Weights that share a scale: 32, 64 or 128; without this option the largest that divides "
          "each linear's inputs")
      ->group(kGroup);
  command
      .add_option(
          "--tp", options->ints.tensor_parallel,
          "GPUs among which an engine will split the model (tensor parallelism): groups are "
          "chosen so that each has whole ones")
      ->group(kGroup);
}

}  // namespace

void add_convert(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand("convert", "Compress a checkpoint");
  auto options = std::make_shared<ConvertCommand>();
  command
      ->add_option("SRC", options->source,
                   "A Hugging Face folder, .safetensors or .gguf file, or ORG/NAME of the hub")
      ->required();
  command->add_option("DST", options->destination, "The folder to write, new or empty");
  CLI::Option* format = command->add_option(
      "--format", options->format,
      fmt::format(
          "Format of linear layers, all alike; auto is tq6 up to 400 million parameters, tq5 "
          "up to 2 billion, above {} where this machine's GPU or memory holds that, else {}, "
          "with more for keys, values and attention's output",
          kFourBits, kThreeBits));
  format->check(format_value());
  CLI::Option* preset =
      command
          ->add_option(
              "--preset", options->preset,
              "A format for each class of tensors instead of one for all: " + preset_names())
          ->excludes(format);
  CLI::Option* plan =
      command
          ->add_option("--plan", options->plan,
                       "JSON file with a format for each class of tensors, layers and tensors, as "
                       "--write-plan writes it; or \"measured\": with --bpw or --fit, by what each "
                       "group of tensors does to the predictions on random tokens (takes long)")
          ->excludes(format)
          ->excludes(preset);
  command
      ->add_option(
          "--measured", options->measured,
          "With --plan measured: the file that keeps the measurements; without it DST with "
          ".measured.json behind it")
      ->group("Measuring")
      ->needs(plan);
  add_measure_options(*command, options->measure, "Measuring");
  command
      ->add_option("--device", options->device,
                   "Where to measure: cpu, which needs no memory for mapped 16-bit weights, cuda, "
                   "cuda:N or auto")
      ->group("Measuring");
  for (const char* name :
       {"--measure-format", "--measure-tokens", "--measure-parts", "--measure-seed", "--device"}) {
    command->get_option(name)->needs(plan);
  }
  add_size_target(*command, options->target, {format, preset});
  command->add_option("--write-plan", options->write_plan,
                      "Convert nothing (leave DST out): write the plan that the other options make "
                      "to this file");
  command->add_option(
      "--rules", options->rules,
      "JSON list of {\"match\": name pattern, \"format\": format or \"keep\"}, tried "
      "before the default rules");
  command
      ->add_option("--effort", options->effort,
                   "Search of the encoder: fast, default, best, or reference for its exact bytes; "
                   "or data: rounds by what a text shows of the linears' inputs, which takes long "
                   "and loses less")
      ->check(one_of({"fast", "default", "best", "reference", kDataEffort}));
  add_data_options(*command, options->data);
  command->add_option("--layout", options->layout, layout_help())->check(one_of(layouts()));
  add_int_options(*command, options);
  command
      ->add_option("--shard-size", options->shard_bytes,
                   "Most bytes of a file, e.g. 4GB; larger results are split")
      ->transform(byte_size())
      ->check(CLI::PositiveNumber);
  command->add_option("--threads", options->threads, "Threads; 0 is all CPUs")
      ->check(CLI::NonNegativeNumber);
  command->add_flag("--allow-nan", options->allow_nan, "Store weights that are not finite as 0");
  command->add_flag(
      "--resume,!--no-resume", [options](int64_t count) { options->no_resume = count < 0; },
      "Continue an interrupted conversion (the default), or start over");
  command->add_flag("--overwrite", options->overwrite, "Replace a complete checkpoint in DST");
  command->add_flag("--anyway", options->anyway,
                    "Convert a source that cannot be run, with a warning instead of an error");
  add_ignore_config(*command, options->ignore_config);
  add_examples(*command,
               {"tq convert ./Qwen3-8B ./Qwen3-8B-tq",
                "tq convert model.gguf ./model-tq3 --format tq3 --effort best",
                "tq convert ./gemma-4-26B-A4B ./gemma-12gb --preset 12gb",
                "tq convert ./Qwen3-8B --bpw 3.5 --write-plan plan.json",
                "tq convert ./Qwen3-8B ./Qwen3-8B-tq --plan plan.json",
                "tq convert ./Qwen3-8B ./Qwen3-8B-awq --layout awq",
                "tq convert ./Qwen3-8B ./Qwen3-8B-int8 --layout compressed-tensors --bits 8"});
  command->callback([options, &global] { run_convert(*options, global); });
}

}  // namespace tq
