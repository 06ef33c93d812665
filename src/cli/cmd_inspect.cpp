// tq inspect: what a checkpoint is: kind, architecture, what running it takes, tensors by class and
// storage, files.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/human.h"
#include "cli/command.h"
#include "cli/model_options.h"
#include "cli/result.h"
#include "cli/table.h"
#include "session/inspect.h"

namespace tq {
namespace {

struct InspectCommand {
  std::string model;
  bool tensors = false;  // list them all
  std::vector<std::string> ignore_config;
};

std::string fits_text(const Checkpoint& checkpoint) {
  Table table({{"memory"}, {"longest context, weights as stored"}});
  for (const ContextFit& fit : context_fits(checkpoint)) {
    table.add_row({fmt::format("{} GiB", fit.memory_bytes >> 30),
                   fit.context > 0 ? std::to_string(fit.context) : "does not fit"});
  }
  return table.text();
}

std::string conversations_text(const Checkpoint& checkpoint, const ModelSummary& summary) {
  const int64_t n_tokens = std::min(kConversationTokens, summary.max_position);
  std::vector<Table::Column> columns = {{"KV cache", Table::Align::kLeft}};
  for (const int64_t gib : kCardGib) columns.push_back({fmt::format("{} GiB", gib)});
  Table table(std::move(columns));
  for (const Conversations& row : conversations(checkpoint, n_tokens)) {
    std::vector<std::string> cells = {std::string(row.kv_format)};
    for (size_t i = 0; i < kCardGib.size(); ++i) {
      cells.push_back(row.n.empty() ? "not possible" : std::to_string(row.n[i]));
    }
    table.add_row(std::move(cells));
  }
  return fmt::format("conversations of {} tokens at a time, weights as stored:\n{}", n_tokens,
                     table.text());
}

std::string attention_text(const LayerGroup& group) {
  std::string text = group.attention;
  if (group.window > 0) text += fmt::format(" {}", group.window);
  return group.shared_kv ? text + ", shared KV" : text;
}

std::string ffn_text(const LayerGroup& group) {
  std::string text;
  if (group.mlp_width > 0) text = fmt::format("{}", group.mlp_width);
  if (group.n_experts == 0) return text;
  return fmt::format("{}{}{} of {} experts of {}", text, text.empty() ? "" : " + ", group.top_k,
                     group.n_experts, group.expert_width);
}

std::string model_text(const ModelSummary& summary) {
  const auto bytes = [](int64_t n) { return human_bytes(static_cast<double>(n)); };
  const auto count = [](int64_t n) { return human_count(static_cast<double>(n)); };
  std::string text = fmt::format(
      "{}: {} layers of {}, vocabulary {}{}, context {}\n"
      "{} parameters, {} active; weights {}, of which a token reads {}\n\n",
      summary.arch, summary.n_layers, summary.hidden, summary.vocab,
      summary.tied_head ? " (tied head)" : "", summary.max_position, count(summary.n_parameters),
      count(summary.active_parameters), bytes(summary.weight_bytes),
      bytes(summary.bytes_per_token));
  Table layers({{"layers"},
                {"attention", Table::Align::kLeft},
                {"heads"},
                {"KV heads"},
                {"head dim"},
                {"feed-forward", Table::Align::kLeft}});
  for (const LayerGroup& group : summary.layers) {
    layers.add_row({std::to_string(group.n_layers), attention_text(group),
                    std::to_string(group.n_heads), std::to_string(group.n_kv_heads),
                    std::to_string(group.head_dim), ffn_text(group)});
  }
  Table kv({{"tokens in context"},
            {fmt::format("KV cache ({})", kv_format_traits(kShownKv.format).name)},
            {"read a token, with weights"}});
  kv.add_row({"1", bytes(summary.kv_bytes_per_token(kShownKv.format)),
              bytes(summary.bytes_per_token + summary.kv_bytes_read(1, kShownKv))});
  for (const int64_t n_tokens : shown_contexts(summary)) {
    kv.add_row({std::to_string(n_tokens), bytes(summary.kv_bytes(n_tokens, kShownKv)),
                bytes(summary.bytes_per_token + summary.kv_bytes_read(n_tokens, kShownKv))});
  }
  return text + layers.text() + "\n" + kv.text();
}

std::string class_table(const Checkpoint& checkpoint, const TensorTotals& totals) {
  Table table({{"class", Table::Align::kLeft},
               {"storage", Table::Align::kLeft},
               {"tensors"},
               {"parameters"},
               {"bits/weight"},
               {"bytes"}});
  const auto add = [&](std::string_view name, const std::string& storage,
                       const TensorTotal& total) {
    table.add_row({std::string(name), storage, std::to_string(total.n_tensors),
                   human_count(static_cast<double>(total.n_parameters)),
                   fmt::format("{:.3f}", total.bits_per_weight()),
                   human_bytes(static_cast<double>(total.stored_bytes))});
  };
  TensorTotal sum;
  for (const TensorEntry& tensor : checkpoint.tensors()) sum.add(tensor);
  for (const auto& [key, total] : totals) add(tensor_class_name(key.first), key.second, total);
  table.add_rule();
  add("total", "", sum);
  return table.text();
}

std::string tensor_table(const Checkpoint& checkpoint) {
  Table table({{"tensor", Table::Align::kLeft},
               {"class", Table::Align::kLeft},
               {"storage", Table::Align::kLeft},
               {"shape", Table::Align::kLeft},
               {"bytes"}});
  const TensorRoles roles(checkpoint.config());
  for (const TensorEntry& tensor : checkpoint.tensors()) {
    table.add_row({tensor.name, std::string(tensor_class_name(class_of(roles, tensor))),
                   tensor.storage, shape_string(tensor.shape),
                   human_bytes(static_cast<double>(tensor.stored_bytes))});
  }
  return table.text();
}

void run_inspect(const InspectCommand& command, const GlobalOptions& global) {
  const auto checkpoint =
      open_checkpoint(command.model, {.ignore_config = command.ignore_config, .inspect = true});
  if (global.json) {
    Json json = result_json("inspect");
    json.update(inspect_json(*checkpoint, command.tensors));
    print_json(json);
    return;
  }
  const std::string arch = architecture(checkpoint->config());
  std::string text = fmt::format("{}: {} checkpoint, {}\n\n", command.model,
                                 checkpoint_kind_name(checkpoint->kind()),
                                 arch.empty() ? "architecture not named" : arch);
  const SourceCheck check = check_source(*checkpoint);
  text += check.summary ? model_text(*check.summary) + "\n" + fits_text(*checkpoint) + "\n" +
                              conversations_text(*checkpoint, *check.summary)
                        : fmt::format("cannot be run: {}\n", check.problem);
  if (const std::string state = text_state(check); !state.empty()) {
    text += fmt::format("no text: {}\n", state);
  }
  text += "\n";
  text += class_table(*checkpoint, count_totals(*checkpoint)) + "\n";
  if (command.tensors) text += tensor_table(*checkpoint) + "\n";
  Table files({{"file", Table::Align::kLeft}, {"bytes"}});
  for (const fs::path& path : checkpoint->files()) {
    files.add_row(
        {path.filename().string(), human_bytes(static_cast<double>(fs::file_size(path)))});
  }
  if (!checkpoint->files().empty()) text += files.text();
  print_text(text);
}

}  // namespace

void add_inspect(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand("inspect", "Show what a checkpoint holds");
  auto options = std::make_shared<InspectCommand>();
  command->add_option("MODEL", options->model, "A checkpoint of any kind: folder or file")
      ->required();
  command->add_flag("--tensors", options->tensors, "List every tensor");
  add_ignore_config(*command, options->ignore_config);
  add_examples(*command, {"tq inspect ./Qwen3-8B", "tq inspect model.gguf --tensors",
                          "tq inspect synth:qwen3-235B-A22B --json"});
  command->callback([options, &global] { run_inspect(*options, global); });
}

}  // namespace tq
