// tq eval plans: what each group of tensors, and whole plans, do to a model's predictions.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/measured.h"
#include "cli/model_options.h"
#include "cli/progress.h"
#include "cli/result.h"
#include "cli/table.h"
#include "convert/plan_file.h"

namespace tq {
namespace {

struct EvalPlansOptions {
  ModelOptions model;
  MeasureOptions measure;
  std::string measured;
  std::vector<std::string> plans;  // files; empty: those of auto and uniform ones
};

struct NamedPlan {
  std::string name;
  FormatPlan formats;
};

// The linears alone: head and embeddings stay, so that rows are of the same kind.
FormatPlan of_linears(std::string_view most, std::string_view output,
                      std::string_view keys_values) {
  return {{kKeep, kKeep, keys_values, output, most, most, most, most}, {}};
}

std::vector<NamedPlan> plans_to_run(const EvalPlansOptions& options, const Checkpoint& source) {
  std::vector<NamedPlan> plans;
  for (const std::string& file : options.plans) {
    PlanFile plan = read_plan(file);
    if (!plan.rules.empty()) {
      fail(ErrorCode::kInvalidArgument, "{}: plans with rules are not measured", file);
    }
    check_layers(plan.formats, source, file);
    plans.push_back({file, std::move(plan.formats)});
  }
  if (!plans.empty()) return plans;
  const auto add = [&](std::string_view most, std::string_view output, std::string_view kv) {
    std::string name(most);
    if (kv != most) name += fmt::format(", keys and values {}", kv);
    if (output != most) name += fmt::format(", output {}", output);
    plans.push_back({name, of_linears(most, output, kv)});
  };
  add(kThreeBits, kThreeBits, kThreeBits);
  add(kThreeBits, kThreeBits, "tq6");
  add(kThreeBits, kFourBits, "tq6");
  add(kFourBits, kFourBits, kFourBits);
  add(kFourBits, kFourBits, "tq6");
  return plans;
}

struct PlanRow {
  NamedPlan plan;
  double bits;  // for a weight of what it compresses
  KldResult result;
  std::vector<std::pair<std::string, double>> worst;  // groups, and their predicted shares
};

double compressed_bits(const Checkpoint& source, const FormatPlan& formats) {
  int64_t bytes = 0;
  int64_t weights = 0;
  for (const PlannedTensor& tensor : make_plan(source, {.formats = formats}).tensors) {
    if (!tensor.compressed()) continue;
    bytes += stored_bytes(tensor);
    weights += source.tensors()[static_cast<size_t>(tensor.source)].n_elements();
  }
  return weights == 0 ? 0 : 8 * static_cast<double>(bytes) / static_cast<double>(weights);
}

std::vector<std::pair<std::string, double>> worst_groups(const Measurements& measurements,
                                                         const FormatPlan& plan) {
  constexpr size_t kShown = 3;
  const std::vector<double> divergence = predicted_divergence(measurements, plan);
  const double sum = std::accumulate(divergence.begin(), divergence.end(), 0.0);
  std::vector<std::pair<std::string, double>> worst;
  for (size_t g = 0; g < divergence.size(); ++g) {
    const double share = sum > 0 ? divergence[g] / sum : 0;
    worst.emplace_back(group_name(measurements.groups[g].group), share);
  }
  std::stable_sort(worst.begin(), worst.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  if (worst.size() > kShown) worst.resize(kShown);
  return worst;
}

std::vector<PlanRow> run_plans(const Checkpoint& source, LazyMeter& meter,
                               const std::vector<NamedPlan>& plans,
                               const Measurements& measurements, const GlobalOptions& global) {
  std::vector<PlanRow> rows;
  Progress progress(global, "running", ProgressUnit::kItems, "plans");
  const InterruptScope interrupt;
  const QuietScope quiet;
  for (const NamedPlan& plan : plans) {
    progress.begin(static_cast<int64_t>(rows.size()), static_cast<int64_t>(plans.size()));
    rows.push_back({plan, compressed_bits(source, plan.formats), meter.measure(plan.formats),
                    worst_groups(measurements, plan.formats)});
  }
  progress.finish();
  return rows;
}

std::string group_table(const Measurements& measurements) {
  int64_t weights = 0;
  double sum = 0;
  for (const MeasuredGroup& one : measurements.groups) {
    weights += one.group.n_weights;
    sum += one.kld;
  }
  std::vector<MeasuredGroup> groups = measurements.groups;
  std::stable_sort(groups.begin(), groups.end(), [](const auto& a, const auto& b) {
    return a.kld * static_cast<double>(b.group.n_weights) >
           b.kld * static_cast<double>(a.group.n_weights);
  });
  Table table({{fmt::format("at {}", measurements.format), Table::Align::kLeft},
               {"weights"},
               {"KLD"},
               {"+-"},
               {"of the sum"},
               {"for its weights"}});
  for (const MeasuredGroup& one : groups) {
    const double share = static_cast<double>(one.group.n_weights) / static_cast<double>(weights);
    const double loss = sum > 0 ? one.kld / sum : 0;
    table.add_row({group_name(one.group), fmt::format("{:.2f} %", 100 * share),
                   fmt::format("{:.5f}", one.kld), fmt::format("{:.5f}", one.standard_error),
                   fmt::format("{:.1f} %", 100 * loss), fmt::format("x {:.2f}", loss / share)});
  }
  return table.text();
}

std::string plan_table(const std::vector<PlanRow>& rows) {
  Table table({{"plan", Table::Align::kLeft},
               {"bits/weight"},
               {"KLD"},
               {"+-"},
               {"same top token"},
               {"worst groups", Table::Align::kLeft}});
  for (const PlanRow& row : rows) {
    std::string worst;
    for (const auto& [name, share] : row.worst) {
      worst += fmt::format("{}{} {:.0f} %", worst.empty() ? "" : ", ", name, 100 * share);
    }
    table.add_row({row.plan.name, fmt::format("{:.3f}", row.bits),
                   fmt::format("{:.4f}", row.result.kld.mean()),
                   fmt::format("{:.4f}", row.result.kld.standard_error()),
                   fmt::format("{:.1f} %", 100 * row.result.same_top1.mean()), worst});
  }
  return table.text();
}

Json plan_rows_json(const std::vector<PlanRow>& rows) {
  Json list = Json::array();
  for (const PlanRow& row : rows) {
    Json worst = Json::array();
    for (const auto& [name, share] : row.worst) {
      worst.push_back({{"group", name}, {"share", share}});
    }
    list.push_back({{"plan", row.plan.name},
                    {"bits_per_weight", row.bits},
                    {"kld", row.result.kld.mean()},
                    {"kld_se", row.result.kld.standard_error()},
                    {"same_top1", row.result.same_top1.mean()},
                    {"worst", std::move(worst)}});
  }
  return list;
}

void run_eval_plans(const EvalPlansOptions& options, const GlobalOptions& global) {
  const auto source =
      open_checkpoint(options.model.path, {.ignore_config = options.model.ignore_config});
  const std::vector<NamedPlan> plans = plans_to_run(options, *source);
  LazyMeter meter(options.model, options.measure);
  const Measurements measurements =
      measure_groups(*source, meter, options.measure, options.measured, global);
  const std::vector<PlanRow> rows = run_plans(*source, meter, plans, measurements, global);
  if (global.json) {
    Json json = result_json("eval plans");
    json.update(measurements_json(measurements));
    json["plans"] = plan_rows_json(rows);
    print_json(json);
    return;
  }
  print_text(fmt::format("{}\n{}KLD: of the source's predictions on {} random tokens, nats\n",
                         group_table(measurements), plan_table(rows), options.measure.tokens));
}

}  // namespace

// A command of tq eval.
void add_eval_plans(CLI::App& eval, const GlobalOptions& global) {
  auto options = std::make_shared<EvalPlansOptions>();
  CLI::App* command = eval.add_subcommand(
      "plans", "What compressing each group of tensors, and whole plans, do to the predictions");
  command->add_option("SRC", options->model.path, "The source: 16-bit, or as good as there is")
      ->required();
  command
      ->add_option("--measured", options->measured,
                   "File that keeps the measurements of groups: the same command goes on where it "
                   "was stopped, and tq convert --plan measured uses it")
      ->required();
  command
      ->add_option("--plans", options->plans,
                   "Plan files to run; without it what auto and uniform formats make of linears")
      ->delimiter(',');
  command->add_option("--device", options->model.device,
                      "Where to compute: cpu, cuda, cuda:N, auto");
  command->add_option("--threads", options->model.threads, "CPU threads; 0 is every CPU available")
      ->check(CLI::Range(0, 4096));
  command->add_flag("--exact", options->model.exact, "Compute with fp32 activations (slower)");
  add_measure_options(*command, options->measure, "Measuring");
  add_ignore_config(*command, options->model.ignore_config);
  add_examples(*command, {"tq eval plans ./Qwen3-8B --measured qwen.json",
                          "tq eval plans ./Qwen3-8B --measured qwen.json --plans a.json,b.json"});
  command->callback([options, &global] { run_eval_plans(*options, global); });
}

}  // namespace tq
