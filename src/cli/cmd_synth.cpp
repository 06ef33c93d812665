// tq synth: a random checkpoint of a published shape.
#include <fmt/format.h>

#include <csignal>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/human.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/result.h"
#include "cli/sizes.h"
#include "cli/table.h"
#include "convert/export.h"
#include "io/synth/synth_checkpoint.h"
#include "io/synth/synth_models.h"

namespace tq {
namespace {

struct SynthCommand {
  std::string name;
  std::string destination;
  uint64_t shard_bytes = 4'000'000'000;
  int threads = 0;
  bool list = false;
};

void list_models(const GlobalOptions& global) {
  Json json = Json::array();
  Table table({{"name", Table::Align::kLeft}, {"parameters"}, {"bytes"}});
  for (const std::string& name : synth_model_names()) {
    const auto checkpoint = open_synth_checkpoint(name);
    int64_t n_parameters = 0;
    int64_t bytes = 0;
    for (const TensorEntry& tensor : checkpoint->tensors()) {
      n_parameters += tensor.n_elements();
      bytes += tensor.stored_bytes;
    }
    json.push_back({{"name", name}, {"parameters", n_parameters}, {"bytes", bytes}});
    table.add_row({name, human_count(static_cast<double>(n_parameters)),
                   human_bytes(static_cast<double>(bytes))});
  }
  if (global.json) {
    Json result = result_json("synth");
    result["models"] = std::move(json);
    print_json(result);
  } else {
    print_text(table.text());
  }
}

void write_model(const SynthCommand& command, const GlobalOptions& global) {
  // A file size limit (ulimit -f) becomes an error of write() like a full disk, not the end of us.
  std::signal(SIGXFSZ, SIG_IGN);
  const auto source = open_synth_checkpoint(command.name);
  ExportOptions options;
  options.destination = command.destination;
  options.n_threads = command.threads;
  options.shard_bytes = command.shard_bytes;
  Progress progress(global, "writing", ProgressUnit::kBytes);
  options.progress = [&](const ConvertProgress& now) {
    progress.update(now.done_bytes, now.total_bytes);
  };
  const InterruptScope interrupt;
  options.cancelled = InterruptScope::interrupted;
  const ExportReport report = export_checkpoint(*source, options);
  progress.finish();
  if (global.json) {
    Json json = result_json("synth");
    json.update({{"model", command.name},
                 {"destination", command.destination},
                 {"tensors", report.n_tensors},
                 {"files", report.n_files},
                 {"bytes", report.stored_bytes},
                 {"seconds", report.seconds}});
    return print_json(json);
  }
  const auto bytes = static_cast<double>(report.stored_bytes);
  print_text(fmt::format("{}: {} tensors in {} files, {}; {}, {:.3f} GB/s\n", command.destination,
                         report.n_tensors, report.n_files, human_bytes(bytes),
                         human_seconds(report.seconds), bytes * 1e-9 / report.seconds));
}

void run_synth(const SynthCommand& command, const GlobalOptions& global) {
  if (command.list) {
    list_models(global);
  } else if (command.name.empty() || command.destination.empty()) {
    fail(ErrorCode::kInvalidArgument, "tq synth takes NAME and OUT, or --list for the names");
  } else {
    write_model(command, global);
  }
}

}  // namespace

void add_synth(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command =
      app.add_subcommand("synth", "Write a checkpoint of a published shape with random weights");
  auto options = std::make_shared<SynthCommand>();
  command->add_option("NAME", options->name,
                      "The model; synth:NAME in place of a path uses it without writing it");
  command->add_option("OUT", options->destination, "The folder to write, new or empty");
  command->add_flag("--list", options->list, "List the names");
  command
      ->add_option("--shard-size", options->shard_bytes,
                   "Most bytes of a file, e.g. 4GB; larger results are split")
      ->transform(byte_size())
      ->check(CLI::PositiveNumber);
  command->add_option("--threads", options->threads, "Threads; 0 is all CPUs")
      ->check(CLI::NonNegativeNumber);
  add_examples(*command, {"tq synth --list", "tq synth qwen3-8B ./random-8B --shard-size 2GB"});
  command->callback([options, &global] { run_synth(*options, global); });
}

}  // namespace tq
