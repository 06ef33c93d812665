// tq pull: a model of the Hugging Face hub into the cache that all its tools share.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "base/human.h"
#include "cli/command.h"
#include "cli/hub_models.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/result.h"
#include "hub/pull.h"

namespace tq {
namespace {

struct PullCommand {
  std::string model;
  std::vector<std::string> include;
  int connections = 8;
};

void run_pull(const PullCommand& command, const GlobalOptions& global) {
  const HubName name = read_hub_name(command.model);
  Progress progress(global, "pulling", ProgressUnit::kBytes);
  const InterruptScope interrupt;
  const NetworkSignals signals;
  PullOptions options;
  options.include = command.include;
  options.connections = command.connections;
  options.cancelled = InterruptScope::interrupted;
  options.progress = [&](int64_t done, int64_t total) { progress.update(done, total); };
  const PullReport report = pull(read_hub_environment(), name, options);
  progress.finish();
  if (global.json) {
    Json json = result_json("pull");
    json.update({{"repository", name.repository},
                 {"commit", report.commit},
                 {"path", (report.model.empty() ? report.snapshot : report.model).string()},
                 {"files", report.files},
                 {"bytes", report.bytes},
                 {"fetched_bytes", report.fetched}});
    print_json(json);
    return;
  }
  const auto bytes = [](int64_t n) { return human_bytes(static_cast<double>(n)); };
  print_text(fmt::format(
      "{}: {} in {} file{}, {}; {}\n", name.text(), bytes(report.bytes), report.files.size(),
      report.files.size() == 1 ? "" : "s",
      report.fetched == 0 ? "all of it was there" : bytes(report.fetched) + " fetched and checked",
      (report.model.empty() ? report.snapshot : report.model).string()));
}

}  // namespace

void add_pull(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand(
      "pull", "Fetch a model from the Hugging Face hub, or what has changed of it");
  auto options = std::make_shared<PullCommand>();
  command
      ->add_option("MODEL", options->model,
                   "ORG/NAME; behind it :REVISION (branch, tag or commit), :Q4_K_M (a quantization "
                   "of GGUF files) or :FILE.gguf")
      ->required();
  command
      ->add_option("--include", options->include,
                   "Fetch the files that match this glob and no others, such as \"*.json\"; may be "
                   "given again")
      ->type_name("GLOB")
      ->default_str("")
      ->allow_extra_args(false);
  command->add_option("--connections", options->connections, "Connections at once")
      ->check(CLI::Range(1, 64));
  add_examples(*command, {"tq pull Qwen/Qwen3-0.6B", "tq pull unsloth/Qwen3-8B-GGUF:Q4_K_M",
                          "tq pull Qwen/Qwen3-0.6B:main --include \"tokenizer*\""});
  command->callback([options, &global] { run_pull(*options, global); });
}

}  // namespace tq
