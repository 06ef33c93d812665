// tq verify: re-hashes a checkpoint that tq convert wrote; others have only their structure
// checked.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

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
  bool update = false;
};

std::string indented(const std::vector<std::string>& lines) {
  std::string text;
  for (size_t i = 0; i < lines.size() && i < kMaxShown; ++i) text += "\n  " + lines[i];
  if (lines.size() > kMaxShown) text += fmt::format("\n  and {} more", lines.size() - kMaxShown);
  return text;
}

std::string fault_summary(const VerifyReport& report) {
  std::string text;
  if (!report.faults.empty()) {
    text = fmt::format("{} planes and files of {} tensors are not as they were written:{}",
                       report.faults.size(), report.n_tensors, indented(report.faults));
    if (!report.edited.empty()) text += "\nand of the small files:" + indented(report.edited);
    return text + "\nConvert the model again or copy it afresh.";
  }
  return fmt::format(
      "{} small files are not as they were written:{}\nIf that is your edit, tq verify --update "
      "accepts it; else convert the model again or copy it afresh.",
      report.edited.size(), indented(report.edited));
}

void print_report(const VerifyCommand& command, const Checkpoint& checkpoint,
                  const VerifyReport& report) {
  const std::string what = fmt::format("{}: {} tensors, {}", command.model, report.n_tensors,
                                       human_bytes(static_cast<double>(report.n_bytes)));
  if (command.update) {
    print_text(report.edited.empty() && report.files_hashed
                   ? fmt::format("{}: nothing to update\n", what)
                   : fmt::format("{}: its small files are taken as they are:{}\n", what,
                                 report.files_hashed ? indented(report.edited) : " all"));
  } else if (report.files_hashed && report.hashed) {
    print_text(fmt::format("{} and all small files: content is as it was written\n", what));
  } else if (report.hashed) {
    print_text(
        fmt::format("{}: tensors are as they were written; an older version wrote it, without "
                    "hashes of the small files, so these cannot be checked (tq verify --update "
                    "adds them as the files are now)\n",
                    what));
  } else {
    print_text(
        fmt::format("{}: structure is sound; a {} checkpoint without hashes, so its "
                    "content cannot be checked\n",
                    what, checkpoint_kind_name(checkpoint.kind())));
  }
  if (!report.extra.empty()) {
    print_text(fmt::format("{} more in the folder, which tq convert did not write:{}\n",
                           report.extra.size(), indented(report.extra)));
  }
}

void run_verify(const VerifyCommand& command, const GlobalOptions& global) {
  const auto checkpoint = open_checkpoint(command.model);
  if (command.update && !has_manifest(checkpoint->kind())) {
    fail(ErrorCode::kUnsupported, "{}: only checkpoints written by tq convert have hashes",
         command.model);
  }
  Progress progress(global, "verifying", ProgressUnit::kBytes);
  VerifyOptions options;
  options.n_threads = command.threads;
  options.bytes = [&](int64_t done, int64_t total) { progress.update(done, total); };
  const InterruptScope interrupt;
  options.cancelled = InterruptScope::interrupted;
  const VerifyReport report = verify_checkpoint(*checkpoint, options);
  progress.finish();
  const bool sound = command.update ? report.faults.empty() : report.sound();
  if (command.update && sound && !(report.files_hashed && report.edited.empty())) {
    update_hashes(checkpoint->path());
  }
  if (global.json) {
    Json json = result_json("verify");
    json.update({{"model", command.model}, {"kind", checkpoint_kind_name(checkpoint->kind())}});
    json.update(report.to_json());
    json["updated"] = command.update && sound;
    print_json(json);
  }
  if (!sound) fail(ErrorCode::kCorrupt, "{}: {}", command.model, fault_summary(report));
  if (!global.json) print_report(command, *checkpoint, report);
}

}  // namespace

void add_verify(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command =
      app.add_subcommand("verify", "Check that a converted checkpoint is undamaged");
  auto options = std::make_shared<VerifyCommand>();
  command->add_option("MODEL", options->model, "A checkpoint written by tq convert")->required();
  command->add_option("--threads", options->threads, "Threads; 0 is all CPUs")
      ->check(CLI::NonNegativeNumber);
  command->add_flag("--update", options->update,
                    "Accept small files that were edited: writes their hashes anew if all tensors "
                    "are as they were written");
  add_examples(*command, {"tq verify ./Qwen3-8B-tq", "tq verify ./Qwen3-8B-tq --update"});
  command->callback([options, &global] { run_verify(*options, global); });
}

}  // namespace tq
