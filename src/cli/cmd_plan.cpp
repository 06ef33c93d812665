// tq plan: formats, their sizes, what fits in which memory, and what they cost, before a weight is
// read.
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/human.h"
#include "cli/command.h"
#include "cli/fit_options.h"
#include "cli/model_options.h"
#include "cli/result.h"
#include "cli/sizes.h"
#include "cli/table.h"
#include "convert/class_formats.h"
#include "convert/fit.h"
#include "convert/quality.h"
#include "model/arch/registry.h"
#include "model/summary.h"
#include "session/capacity.h"

namespace tq {
namespace {

struct PlanCommand {
  std::string source;
  std::vector<int64_t> memory;  // empty: those that are common
  FitOptions fit;
  std::vector<std::string> ignore_config;
};

// One way to store the model.
struct Way {
  std::string name;                 // "tq3"; empty: as it is stored
  std::string options;              // of tq convert: "--format tq3"
  std::optional<PlanOptions> plan;  // nothing: as it is stored
};

struct Row {
  Way way;
  double bits_per_weight;
  int64_t stored_bytes;
  int64_t needed_bytes;
  std::vector<int64_t> contexts;  // for each memory; 0: does not fit
  const MeasuredQuality* quality;
  std::string formats;  // of a plan that is not uniform
};

class PlanTable {
 public:
  PlanTable(const Checkpoint& checkpoint, const PlanCommand& command)
      : checkpoint_(checkpoint),
        command_(command),
        summary_(summarize(checkpoint)),
        context_(choose_context(read_spec(checkpoint), command.fit.context, kDefaultFitContext)) {
    memory_ = command.memory;
    if (memory_.empty()) {
      for (const int64_t gib : kCommonMemoryGib) memory_.push_back(gib << 30);
    }
    add({});
    for (auto format = all_formats().rbegin(); format != all_formats().rend(); ++format) {
      if (!format->has_scales) continue;
      const std::string name(format->name);
      add({name, "--format " + name, PlanOptions{.format = name}});
    }
    PlanOptions automatic;
    fit_this_machine(checkpoint, command.fit, automatic);
    add({"auto", "--format auto", std::move(automatic)});
    for (const Preset& preset : all_presets()) {
      const std::string name(preset.name);
      add({name, "--preset " + name, PlanOptions{.preset = name}});
    }
    for (const int64_t bytes : command.memory) add_choice(bytes);
  }

  std::string text() const;
  Json json() const;

 private:
  void add(Way way) {
    Row row{.way = std::move(way)};
    LoadOptions load = command_.fit.load_options();
    if (row.way.plan) {
      const ConvertPlan plan = make_plan(checkpoint_, *row.way.plan);
      load.format_for = formats_at_load(checkpoint_, plan);
      row.bits_per_weight = bits_per_weight(checkpoint_, plan);
      row.stored_bytes = stored_bytes(plan);
      const FormatTraits& most = need_format(plan.formats.classes.mlp);
      if (row.way.plan->formats || plan.formats != FormatPlan{uniform_formats(most), {}}) {
        row.formats = describe_formats(plan.formats, plan);
      }
    } else {
      int64_t n_weights = 0;
      for (const TensorEntry& tensor : checkpoint_.tensors()) {
        n_weights += tensor.n_elements();
        row.stored_bytes += tensor.stored_bytes;
      }
      row.bits_per_weight =
          8 * static_cast<double>(row.stored_bytes) / static_cast<double>(n_weights);
    }
    const Capacity capacity(checkpoint_, load);
    row.needed_bytes = capacity.needed_bytes(context_);
    for (const int64_t bytes : memory_) row.contexts.push_back(capacity.longest_context(bytes));
    row.quality = find_quality(
        {summary_.arch, summary_.hidden, summary_.n_layers, summary_.n_parameters}, row.way.name);
    rows_.push_back(std::move(row));
  }

  void add_choice(int64_t bytes) {
    const FormatChoice choice = fit_memory(checkpoint_, {}, bytes, command_.fit);
    if (!choice.fits) return;
    const std::string size = size_text(bytes);
    add({"fit " + size, "--fit " + size, PlanOptions{.formats = choice.formats}});
  }

  const Checkpoint& checkpoint_;
  const PlanCommand& command_;
  ModelSummary summary_;
  int64_t context_;
  std::vector<int64_t> memory_;
  std::vector<Row> rows_;
};

std::string bytes_text(int64_t bytes) { return human_bytes(static_cast<double>(bytes)); }

std::string quality_text(const Row& row) {
  if (!row.way.plan) return "the source";
  if (row.quality == nullptr) return "not measured";
  return fmt::format("KLD {:.3f}, perplexity x {:.3f} ({})", row.quality->kld,
                     row.quality->perplexity_ratio, row.quality->model);
}

std::string PlanTable::text() const {
  std::vector<Table::Column> columns = {{"convert with", Table::Align::kLeft},
                                        {"bits/weight"},
                                        {"stored"},
                                        {fmt::format("needs at {}", context_)}};
  for (const int64_t bytes : memory_) columns.push_back({"context in " + size_text(bytes)});
  columns.push_back({"quality", Table::Align::kLeft});
  Table table(std::move(columns));
  std::string choices;
  for (const Row& row : rows_) {
    std::vector<std::string> cells = {row.way.plan ? row.way.options : "(as stored)",
                                      fmt::format("{:.3f}", row.bits_per_weight),
                                      bytes_text(row.stored_bytes), bytes_text(row.needed_bytes)};
    for (const int64_t context : row.contexts) {
      cells.push_back(context > 0 ? std::to_string(context) : "-");
    }
    cells.push_back(quality_text(row));
    table.add_row(std::move(cells));
    if (!row.formats.empty()) choices += fmt::format("{}: {}\n", row.way.options, row.formats);
  }
  return fmt::format(
      "{}: {}, {} parameters, context {}\n\n{}\n{}"
      "\"needs\" and \"context in\": one sequence, KV cache {}, buffers for {} tokens a step, and "
      "{} "
      "for a GPU's own use; - does not fit\n",
      command_.source, summary_.arch, human_count(static_cast<double>(summary_.n_parameters)),
      summary_.max_position, table.text(), choices, command_.fit.kv_format, command_.fit.batch,
      size_text(Capacity::kReserveBytes));
}

Json PlanTable::json() const {
  Json rows = Json::array();
  for (const Row& row : rows_) {
    Json fits = Json::array();
    for (size_t i = 0; i < memory_.size(); ++i) {
      fits.push_back({{"memory_bytes", memory_[i]}, {"longest_context", row.contexts[i]}});
    }
    Json quality;
    if (row.quality != nullptr) {
      quality = {{"model", row.quality->model},
                 {"kld", row.quality->kld},
                 {"kld_se", row.quality->standard_error},
                 {"perplexity_ratio", row.quality->perplexity_ratio}};
    }
    Json one = {{"format", row.way.plan ? Json(row.way.name) : Json()},
                {"options", row.way.options},
                {"bits_per_weight", row.bits_per_weight},
                {"stored_bytes", row.stored_bytes},
                {"needed_bytes", row.needed_bytes},
                {"fits", std::move(fits)},
                {"quality", std::move(quality)}};
    if (!row.formats.empty()) one["formats"] = row.formats;
    rows.push_back(std::move(one));
  }
  return {{"path", command_.source},
          {"arch", summary_.arch},
          {"parameters", summary_.n_parameters},
          {"max_position", summary_.max_position},
          {"context", context_},
          {"kv_dtype", command_.fit.kv_format},
          {"batch", command_.fit.batch},
          {"reserve_bytes", Capacity::kReserveBytes},
          {"rows", std::move(rows)}};
}

void run_plan(const PlanCommand& command, const GlobalOptions& global) {
  const auto checkpoint = open_checkpoint(command.source, {.ignore_config = command.ignore_config});
  const PlanTable table(*checkpoint, command);
  if (global.json) {
    Json json = result_json("plan");
    json.update(table.json());
    print_json(json);
  } else {
    print_text(table.text());
  }
}

}  // namespace

void add_plan(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand(
      "plan", "Show formats with their sizes, what fits in which memory, and what they cost");
  auto options = std::make_shared<PlanCommand>();
  command->add_option("SRC", options->source, "A checkpoint of any kind: folder or file")
      ->required();
  command
      ->add_option(
          "--memory", options->memory,
          "Memory to fit in, such as 12GiB, or several: 8GiB,12GiB; without it common ones")
      ->delimiter(',')
      ->transform(byte_size());
  add_fit_options(*command, options->fit);
  add_ignore_config(*command, options->ignore_config);
  add_examples(*command,
               {"tq plan ./Qwen3-8B", "tq plan model.gguf --memory 8GiB,12GiB --ctx 32k"});
  command->callback([options, &global] { run_plan(*options, global); });
}

}  // namespace tq
