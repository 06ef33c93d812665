// tq verify: re-hashes a checkpoint that tq convert wrote; others have only their structure
// checked.
#include <fmt/format.h>

#include <memory>
#include <string>

#include "base/error.h"
#include "base/human.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/result.h"
#include "convert/verify.h"

namespace tq {
namespace {

constexpr size_t kMaxShown = 20;

struct VerifyCommand {
  std::string model;
  int threads = 0;
};

std::string fault_summary(const VerifyReport& report) {
  std::string text =
      fmt::format("{} of {} tensors' planes are not as they were written:", report.faults.size(),
                  report.n_tensors);
  for (size_t i = 0; i < report.faults.size() && i < kMaxShown; ++i) {
    text += "\n  " + report.faults[i];
  }
  if (report.faults.size() > kMaxShown) {
    text += fmt::format("\n  and {} more", report.faults.size() - kMaxShown);
  }
  return text + "\nConvert the model again or copy it afresh.";
}

void run_verify(const VerifyCommand& command, const GlobalOptions& global) {
  const auto checkpoint = open_checkpoint(command.model);
  Progress progress(global, "verifying", ProgressUnit::kBytes);
  VerifyOptions options;
  options.n_threads = command.threads;
  options.bytes = [&](int64_t done, int64_t total) { progress.update(done, total); };
  const InterruptScope interrupt;
  options.cancelled = InterruptScope::interrupted;
  const VerifyReport report = verify_checkpoint(*checkpoint, options);
  progress.finish();
  if (global.json) {
    Json json = result_json("verify");
    json.update({{"model", command.model},
                 {"kind", checkpoint_kind_name(checkpoint->kind())},
                 {"checked", report.hashed ? "content" : "structure"},
                 {"tensors", report.n_tensors},
                 {"bytes", report.n_bytes},
                 {"faults", report.faults}});
    print_json(json);
  }
  if (!report.faults.empty())
    fail(ErrorCode::kCorrupt, "{}: {}", command.model, fault_summary(report));
  if (global.json) return;
  const std::string size = fmt::format("{} tensors, {}", report.n_tensors,
                                       human_bytes(static_cast<double>(report.n_bytes)));
  if (report.hashed) {
    print_text(fmt::format("{}: {}: content is as it was written\n", command.model, size));
  } else {
    print_text(
        fmt::format("{}: {}: structure is sound; a {} checkpoint without hashes, so its "
                    "content cannot be checked\n",
                    command.model, size, checkpoint_kind_name(checkpoint->kind())));
  }
}

}  // namespace

void add_verify(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command =
      app.add_subcommand("verify", "Check that a converted checkpoint is undamaged");
  auto options = std::make_shared<VerifyCommand>();
  command->add_option("MODEL", options->model, "A checkpoint written by tq convert")->required();
  command->add_option("--threads", options->threads, "Threads; 0 is all CPUs")
      ->check(CLI::NonNegativeNumber);
  add_examples(*command, {"tq verify ./Qwen3-8B-tq"});
  command->callback([options, &global] { run_verify(*options, global); });
}

}  // namespace tq
