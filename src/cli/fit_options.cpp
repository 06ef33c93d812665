#include "cli/fit_options.h"

#include "cli/option_flags.h"

namespace tq {
namespace {

constexpr const char* kFitGroup = "Memory";

}  // namespace

void add_fit_options(CLI::App& command, FitOptions& options) {
  visit_options(options, OptionFlags(command, kFitGroup));
}

void add_size_target(CLI::App& command, SizeTarget& target,
                     const std::vector<CLI::Option*>& others) {
  visit_options(target, OptionFlags(command, kFitGroup));
  CLI::Option* fit = command.get_option("--fit");
  CLI::Option* bpw = command.get_option("--bpw");
  fit->check(CLI::PositiveNumber);
  bpw->excludes(fit);
  for (CLI::Option* other : others) {
    fit->excludes(other);
    bpw->excludes(other);
  }
  for (const char* name : {"--ctx", "--kv-dtype", "--batch"}) command.get_option(name)->needs(fit);
}

}  // namespace tq
