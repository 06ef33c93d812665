// tq inspect: what a checkpoint is: kind, architecture, size, tensors by class and storage, files.
#include <fmt/format.h>

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "cli/command.h"
#include "cli/table.h"
#include "convert/plan.h"

namespace tq {
namespace {

struct InspectCommand {
  std::string model;
  bool tensors = false;  // list them all
};

struct Total {
  int64_t n_tensors = 0;
  int64_t n_parameters = 0;
  int64_t stored_bytes = 0;

  void add(const TensorEntry& tensor) {
    ++n_tensors;
    n_parameters += tensor.n_elements();
    stored_bytes += tensor.stored_bytes;
  }
  double bits_per_weight() const {
    if (n_parameters == 0) return 0;
    return 8.0 * static_cast<double>(stored_bytes) / static_cast<double>(n_parameters);
  }
};

// By class and storage, in the order of classes.
using Totals = std::map<std::pair<TensorClass, std::string>, Total>;

TensorClass class_of(const TensorEntry& tensor) {
  return classify_tensor(tensor.name, tensor.shape);
}

// The first architecture the config names, else its model type.
std::string architecture(const Json& config) {
  const auto architectures = config.find("architectures");
  if (architectures != config.end() && architectures->is_array() && !architectures->empty() &&
      architectures->front().is_string()) {
    return architectures->front().get<std::string>();
  }
  const auto model_type = config.find("model_type");
  if (model_type != config.end() && model_type->is_string()) return model_type->get<std::string>();
  return "";
}

Json inspect_json(const Checkpoint& checkpoint, const Totals& totals, bool list_tensors) {
  Json classes = Json::array();
  Total sum;
  for (const auto& [key, total] : totals) {
    classes.push_back({{"class", tensor_class_name(key.first)},
                       {"storage", key.second},
                       {"tensors", total.n_tensors},
                       {"parameters", total.n_parameters},
                       {"bytes", total.stored_bytes},
                       {"bits_per_weight", total.bits_per_weight()}});
  }
  for (const TensorEntry& tensor : checkpoint.tensors()) sum.add(tensor);
  Json files = Json::array();
  for (const fs::path& path : checkpoint.files()) {
    files.push_back({{"path", path.string()}, {"bytes", fs::file_size(path)}});
  }
  Json json = {{"path", checkpoint.path().string()},
               {"kind", checkpoint_kind_name(checkpoint.kind())},
               {"architecture", architecture(checkpoint.config())},
               {"tensors", sum.n_tensors},
               {"parameters", sum.n_parameters},
               {"bytes", sum.stored_bytes},
               {"bits_per_weight", sum.bits_per_weight()},
               {"classes", std::move(classes)},
               {"files", std::move(files)},
               {"text_files", checkpoint.text_files()}};
  if (list_tensors) {
    Json& list = json["tensor_list"] = Json::array();
    for (const TensorEntry& tensor : checkpoint.tensors()) {
      list.push_back({{"name", tensor.name},
                      {"class", tensor_class_name(class_of(tensor))},
                      {"storage", tensor.storage},
                      {"shape", tensor.shape},
                      {"bytes", tensor.stored_bytes}});
    }
  }
  return json;
}

std::string class_table(const Checkpoint& checkpoint, const Totals& totals) {
  Table table({{"class", Table::Align::kLeft},
               {"storage", Table::Align::kLeft},
               {"tensors"},
               {"parameters"},
               {"bits/weight"},
               {"bytes"}});
  const auto add = [&](std::string_view name, const std::string& storage, const Total& total) {
    table.add_row({std::string(name), storage, std::to_string(total.n_tensors),
                   human_count(static_cast<double>(total.n_parameters)),
                   fmt::format("{:.3f}", total.bits_per_weight()),
                   human_bytes(static_cast<double>(total.stored_bytes))});
  };
  Total sum;
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
  for (const TensorEntry& tensor : checkpoint.tensors()) {
    table.add_row({tensor.name, std::string(tensor_class_name(class_of(tensor))), tensor.storage,
                   shape_string(tensor.shape),
                   human_bytes(static_cast<double>(tensor.stored_bytes))});
  }
  return table.text();
}

void run_inspect(const InspectCommand& command, const GlobalOptions& global) {
  const auto checkpoint = open_checkpoint(command.model);
  Totals totals;
  for (const TensorEntry& tensor : checkpoint->tensors()) {
    totals[{class_of(tensor), tensor.storage}].add(tensor);
  }
  if (global.json) {
    print_json(inspect_json(*checkpoint, totals, command.tensors));
    return;
  }
  const std::string arch = architecture(checkpoint->config());
  std::string text = fmt::format("{}: {} checkpoint, {}\n\n", command.model,
                                 checkpoint_kind_name(checkpoint->kind()),
                                 arch.empty() ? "architecture not named" : arch);
  text += class_table(*checkpoint, totals) + "\n";
  if (command.tensors) text += tensor_table(*checkpoint) + "\n";
  Table files({{"file", Table::Align::kLeft}, {"bytes"}});
  for (const fs::path& path : checkpoint->files()) {
    files.add_row(
        {path.filename().string(), human_bytes(static_cast<double>(fs::file_size(path)))});
  }
  text += files.text();
  print_text(text);
}

}  // namespace

void add_inspect(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand("inspect", "Show what a checkpoint holds");
  auto options = std::make_shared<InspectCommand>();
  command->add_option("MODEL", options->model, "A checkpoint of any kind: folder or file")
      ->required();
  command->add_flag("--tensors", options->tensors, "List every tensor");
  command->callback([options, &global] { run_inspect(*options, global); });
}

}  // namespace tq
