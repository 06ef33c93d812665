// tq convert: a checkpoint in, a compressed checkpoint out.
#include <fmt/format.h>

#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/human.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/convert_report.h"
#include "cli/fit_options.h"
#include "cli/interrupt.h"
#include "cli/measured.h"
#include "cli/model_options.h"
#include "cli/option_flags.h"
#include "cli/progress.h"
#include "cli/result.h"
#include "convert/plan_file.h"
#include "convert/side_files.h"
#include "session/conversion.h"
#include "session/source_check.h"

namespace tq {
namespace {

struct ConvertCommand {
  std::string source;
  std::string destination;
  ConversionOptions conversion;
  std::string measured;  // file of measurements; empty: beside the result
  MeasureOptions measure;
  std::string device = "cpu";  // to measure on
  std::string write_plan;      // file, instead of a destination
};

// A result that an earlier run had whole and this one only put in its place.
void print_finished(const std::string& destination, const GlobalOptions& global) {
  if (global.json) {
    Json json = result_json("convert");
    json.update(conversion_json(std::nullopt, destination));
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
  const std::string& result =
      command.destination.empty() ? command.write_plan : command.destination;
  const std::string file =
      command.measured.empty() ? without_slashes(result) + ".measured.json" : command.measured;
  ModelOptions model;
  model.path = command.source;
  model.device = command.device;
  model.threads = command.conversion.threads;
  model.ignore_config = command.conversion.ignore_config;
  LazyMeter meter(model, command.measure);
  const Measurements measurements = measure_groups(source, meter, command.measure, file, global);
  return choose_formats(source, plan, command.conversion.target, &measurements);
}

ConversionCalls conversion_calls(const ConvertCommand& command, const GlobalOptions& global) {
  ConversionCalls calls;
  calls.measure = [&](const Checkpoint& source, const PlanOptions& plan) {
    return choose_measured(command, source, plan, global);
  };
  return calls;
}

// --write-plan: what would be done, for a later --plan.
void write_plan(const ConvertCommand& command, const GlobalOptions& global) {
  const ConversionOptions& conversion = command.conversion;
  check_conversion(conversion);
  const auto opened = open_checkpoint(command.source, {.ignore_config = conversion.ignore_config});
  const Checkpoint& source = *opened;
  require_sound_source(source, conversion.anyway);
  if (conversion.layout != "native") {
    fail(ErrorCode::kInvalidArgument, "--layout {} has no plans to write", conversion.layout);
  }
  const PlanOptions options =
      conversion_plan(conversion, source, conversion_calls(command, global));
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

void run_convert(const ConvertCommand& command, const GlobalOptions& global) {
  if (command.destination.empty() == command.write_plan.empty()) {
    fail(ErrorCode::kInvalidArgument, "give DST, the folder to write, or --write-plan FILE");
  }
  // A file size limit (ulimit -f) becomes an error of write() like a full disk, not the end of us.
  std::signal(SIGXFSZ, SIG_IGN);
  if (!command.write_plan.empty()) return write_plan(command, global);
  ConversionCalls calls = conversion_calls(command, global);
  Progress progress(global, "converting", ProgressUnit::kBytes);
  calls.progress = [&](int64_t done, int64_t total) { progress.update(done, total); };
  std::optional<InterruptScope> interrupt;  // measuring has its own
  calls.begins = [&] { interrupt.emplace(); };
  calls.cancelled = InterruptScope::interrupted;
  std::unique_ptr<Progress> reading;  // a bar for each time, which leaves the line to the other
  calls.reading = [&](int64_t done, int64_t total) {
    if (!reading) {
      reading =
          std::make_unique<Progress>(global, "reading the text", ProgressUnit::kItems, "tokens");
    }
    reading->update(done, total);
    if (done < total) return;
    reading->vanish();
    reading.reset();
  };
  const auto report =
      run_conversion(command.source, command.destination, command.conversion, calls);
  progress.finish();
  if (!report) return print_finished(command.destination, global);
  print_report(*report, command.destination, global);
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
  ConversionOptions& conversion = options->conversion;
  const std::string group = command->get_option("SRC")->get_group();  // as of options without one
  visit_format_options(conversion, OptionFlags(*command, group));
  CLI::Option* format = command->get_option("--format");
  CLI::Option* preset = command->get_option("--preset")->excludes(format);
  CLI::Option* plan = command->get_option("--plan")->excludes(format)->excludes(preset);
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
  add_size_target(*command, conversion.target, {format, preset});
  command->add_option("--write-plan", options->write_plan,
                      "Convert nothing (leave DST out): write the plan that the other options make "
                      "to this file");
  visit_write_options(conversion, OptionFlags(*command, group));
  visit_data_options(conversion.data, OptionFlags(*command, "With --effort data"));
  visit_int_options(conversion, OptionFlags(*command, "Layouts awq and compressed-tensors"));
  visit_file_options(conversion, OptionFlags(*command, group));
  command->get_option("--shard-size")->check(CLI::PositiveNumber);
  add_ignore_config(*command, conversion.ignore_config);
  add_examples(*command,
               {"tq convert ./Qwen3-8B ./Qwen3-8B-tq",
                "tq convert model.gguf ./model-tq3 --format tq3 --effort best",
                "tq convert ./gemma-4-26B-A4B ./gemma-12gb --preset 12gb",
                "tq convert ./Qwen3-8B --bpw 3.5 --write-plan plan.json",
                "tq convert ./Qwen3-8B ./Qwen3-8B-tq --plan plan.json",
                "tq convert ./Qwen3-8B ./Qwen3-8B-tq --effort data --data my-texts.txt",
                "tq convert ./Qwen3-8B ./Qwen3-8B-awq --layout awq",
                "tq convert ./Qwen3-8B ./Qwen3-8B-int8 --layout compressed-tensors --bits 8"});
  command->callback([options, &global] { run_convert(*options, global); });
}

}  // namespace tq
