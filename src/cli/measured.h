// Measuring the groups of tensors of a source, which takes long: with progress, and resumed from a
// file. For tq eval plans and tq convert --plan measured.
#pragma once

#include <CLI/CLI.hpp>
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

// Measures what the file does not have yet, and adds each group to it as soon as it is known.
// Throws kInvalidArgument for a file of another source or of other options, kCancelled on Ctrl-C.
Measurements measure_groups(const ModelOptions& model, const MeasureOptions& options,
                            const std::string& file, const GlobalOptions& global);

MeterOptions meter_options(const ModelOptions& model, const MeasureOptions& options);

}  // namespace tq
