// Measuring the groups of tensors of a source, which takes long: with progress, and resumed from a
// file. For tq eval plans and tq convert --plan measured.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "base/log.h"
#include "cli/command.h"
#include "convert/measured_plan.h"
#include "session/plan_meter.h"

namespace tq {

// While it lives nothing is logged: loading says the same for every group.
class QuietScope {
 public:
  QuietScope() : before_(log_level()) { set_log_level(LogLevel::kQuiet); }
  ~QuietScope() { set_log_level(before_); }
  QuietScope(const QuietScope&) = delete;
  QuietScope& operator=(const QuietScope&) = delete;

 private:
  LogLevel before_;
};

struct MeasureOptions {
  std::string format = std::string(kThreeBits);  // of the group that is measured
  int64_t tokens = 256;
  int64_t parts = 4;  // of the layers
  uint64_t seed = 1;
};
// Registers --measure-format, --measure-tokens, --measure-parts and --measure-seed.
void add_measure_options(CLI::App& command, MeasureOptions& options, const std::string& group);

// The meter of a source. It is made when it is first asked for, as that runs the source.
class LazyMeter {
 public:
  LazyMeter(const ModelOptions& model, const MeasureOptions& options)
      : options_{.model = model, .n_tokens = options.tokens, .seed = options.seed} {}
  // KL(source || plan). Throws kCancelled on Ctrl-C, within an InterruptScope.
  KldResult measure(const FormatPlan& plan);

 private:
  MeterOptions options_;
  std::unique_ptr<PlanMeter> meter_;
};

// Measures what the file does not have yet, and adds each group to it as soon as it is known.
// Throws kInvalidArgument for a file of another source or of other options, kCancelled on Ctrl-C.
Measurements measure_groups(const Checkpoint& source, LazyMeter& meter,
                            const MeasureOptions& options, const std::string& file,
                            const GlobalOptions& global);

}  // namespace tq
