// What a model shall be able to do in the memory it must fit: options of tq plan and tq convert,
// and the choice of formats by them.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "convert/fit.h"
#include "convert/measured_plan.h"
#include "session/capacity.h"

namespace tq {

constexpr int64_t kDefaultFitContext = 8192;

struct FitOptions {
  int64_t context = 0;  // tokens of one sequence; 0: kDefaultFitContext or the model's own
  std::string kv_format = std::string(kv_format_traits(default_kv_format()).name);
  int64_t batch = 512;

  KvFormatId kv() const;
  LoadOptions load_options() const;
};

// Registers --ctx, --kv-dtype and --batch.
void add_fit_options(CLI::App& command, FitOptions& options);

// The formats with most bits with which the model runs in memory_bytes. Sizes are bytes of memory.
// plan: rules to plan with. Throws what Capacity and make_plan do.
FormatChoice fit_memory(const Checkpoint& checkpoint, const PlanOptions& plan, int64_t memory_bytes,
                        const FitOptions& options);

// Makes format auto depend on what runs on this machine: its GPU, or without one its memory.
void fit_this_machine(const Checkpoint& checkpoint, const FitOptions& options, PlanOptions& plan);

// What --fit or --bpw of tq convert ask for.
struct SizeTarget {
  int64_t memory_bytes = 0;    // to run in; 0: not asked for
  double bits_per_weight = 0;  // likewise, over all that is stored
  FitOptions fit;

  bool asked() const { return memory_bytes > 0 || bits_per_weight > 0; }
};
// Registers --fit, --bpw and the options above; both exclude `others`.
void add_size_target(CLI::App& command, SizeTarget& target,
                     const std::vector<CLI::Option*>& others);

// Chooses formats, by the classes' rules or by measurements of all the source's groups, and says
// which and why. plan: rules and layout to plan with. Throws kOutOfMemory, or kInvalidArgument for
// bits, with the least that would do.
FormatPlan choose_formats(const Checkpoint& checkpoint, const PlanOptions& plan,
                          const SizeTarget& target, const Measurements* measurements = nullptr);

// "12GiB", "500MB": exact where the unit divides it.
std::string size_text(int64_t bytes);

}  // namespace tq
