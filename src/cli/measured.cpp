#include "cli/measured.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/values.h"
#include "convert/source_identity.h"

namespace tq {
namespace {

// What the file holds of this source with these options; all of it or nothing.
void read_earlier(const std::string& file, Measurements& measurements) {
  if (!is_file(file)) return;
  Measurements earlier = parse_measurements(parse_json(read_text_file(file), file), file);
  const auto same = [&](bool is_same, std::string_view what) {
    if (is_same) return;
    fail(ErrorCode::kInvalidArgument,
         "{}: holds measurements of {}; remove it, or name another file", file, what);
  };
  same(earlier.source == measurements.source, "another source, or of this one before it changed");
  same(earlier.format == measurements.format, fmt::format("format {}", earlier.format));
  same(earlier.n_tokens == measurements.n_tokens, fmt::format("{} tokens", earlier.n_tokens));
  same(earlier.seed == measurements.seed, fmt::format("seed {}", earlier.seed));
  measurements.groups = std::move(earlier.groups);
}

}  // namespace

void add_measure_options(CLI::App& command, MeasureOptions& options, const std::string& group) {
  command
      .add_option("--measure-format", options.format,
                  "Format at which each group of tensors is measured")
      ->check(one_of({kPlanFormats.begin(), kPlanFormats.end()}))
      ->group(group);
  command.add_option("--measure-tokens", options.tokens, "Random tokens to measure with")
      ->check(CLI::Range(int64_t{2}, int64_t{1} << 20))
      ->group(group);
  command
      .add_option("--measure-parts", options.parts,
                  "Parts into which layers are cut; a class of tensors in one part is a group")
      ->check(CLI::Range(int64_t{1}, int64_t{1000}))
      ->group(group);
  command.add_option("--measure-seed", options.seed, "Of the random tokens")
      ->check(CLI::Range(uint64_t{0}, uint64_t{1} << 53))
      ->group(group);
}

KldResult LazyMeter::measure(const FormatPlan& plan) {
  const EvalProgress stop = [](int64_t, int64_t) {
    if (InterruptScope::interrupted()) fail(ErrorCode::kCancelled, "stopped");
  };
  if (!meter_) meter_ = std::make_unique<PlanMeter>(options_, stop);
  return meter_->measure(plan, stop);
}

Measurements measure_groups(const Checkpoint& source, LazyMeter& meter,
                            const MeasureOptions& options, const std::string& file,
                            const GlobalOptions& global) {
  const std::vector<TensorGroup> groups = tensor_groups(source, options.parts);
  Measurements measurements{.format = options.format,
                            .n_tokens = options.tokens,
                            .seed = options.seed,
                            .source = source_identity(source),
                            .groups = {}};
  Measurements known = measurements;  // of other groups, too: of layers cut otherwise
  read_earlier(file, known);
  Progress progress(global, "measuring", ProgressUnit::kItems, "groups");
  const InterruptScope interrupt;
  const auto n_groups = static_cast<int64_t>(groups.size());
  for (const TensorGroup& group : groups) {
    progress.begin(static_cast<int64_t>(measurements.groups.size()), n_groups);
    if (known.find(group) == nullptr) {
      const QuietScope quiet;
      const KldResult result = meter.measure(only_group(group, options.format));
      // Of a group that hardly matters the mean may be rounded below zero.
      known.groups.push_back(
          {group, std::max(0.0, result.kld.mean()), result.kld.standard_error()});
      write_file_atomic(file, measurements_json(known).dump(1) + "\n");
    }
    measurements.groups.push_back(*known.find(group));
  }
  progress.update(n_groups, n_groups);
  progress.finish();
  return measurements;
}

}  // namespace tq
