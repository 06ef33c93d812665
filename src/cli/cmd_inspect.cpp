// tq inspect: what a checkpoint is: kind, architecture, what running it takes, tensors by class and
// storage, files.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/human.h"
#include "cli/command.h"
#include "cli/model_options.h"
#include "cli/result.h"
#include "cli/source_check.h"
#include "cli/table.h"
#include "convert/plan.h"
#include "session/capacity.h"

namespace tq {
namespace {

struct InspectCommand {
  std::string model;
  bool tensors = false;  // list them all
  std::vector<std::string> ignore_config;
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

TensorClass class_of(const TensorRoles& roles, const TensorEntry& tensor) {
  return class_of(roles.role(tensor.name, tensor.shape));
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

// Empty where the tokenizer inside the file is damaged: the check's text_problem tells.
std::vector<std::string> text_files(const Checkpoint& checkpoint) {
  try {
    return checkpoint.text_files();
  } catch (const Error&) {
    return {};
  }
}

// Contexts to show: the usual ones and the longest there is.
std::vector<int64_t> contexts(const ModelSummary& summary) {
  std::vector<int64_t> out;
  for (const int64_t n_tokens : {4096, 32768, 262144}) {
    out.push_back(std::min(n_tokens, summary.max_position));
  }
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

const KvOptions kKv;  // what tq run uses unless told otherwise

// The longest contexts for the memories that there are, 0 where the model does not fit, with the
// weights as they are stored.
struct Fit {
  int64_t memory_bytes;
  int64_t context;
};
std::vector<Fit> fits(const Checkpoint& checkpoint) {
  const Capacity capacity(checkpoint, {});
  std::vector<Fit> out;
  for (const int64_t gib : kCommonMemoryGib) {
    out.push_back({gib << 30, capacity.longest_context(gib << 30)});
  }
  return out;
}

std::string fits_text(const Checkpoint& checkpoint) {
  Table table({{"memory"}, {"longest context, weights as stored"}});
  for (const Fit& fit : fits(checkpoint)) {
    table.add_row({fmt::format("{} GiB", fit.memory_bytes >> 30),
                   fit.context > 0 ? std::to_string(fit.context) : "does not fit"});
  }
  return table.text();
}

// Conversations that fit at a time, in the usual format of the cache and in a compressed one.
constexpr int64_t kConversationTokens = 4096;
constexpr std::string_view kCompressedKv = "k4v3";
constexpr std::array<int64_t, 4> kCardGib = {12, 24, 48, 80};

struct Conversations {
  std::string_view kv_format;
  std::vector<int64_t> n;  // for each of kCardGib; none: the model cannot be kept in the format
};
std::vector<Conversations> conversations(const Checkpoint& checkpoint, int64_t n_tokens) {
  std::vector<Conversations> out;
  for (const KvFormatId id : {kKv.format, find_kv_format(kCompressedKv)->id}) {
    Conversations row{kv_format_traits(id).name, {}};
    try {
      const Capacity capacity(checkpoint, {.kv = {.format = id}});
      for (const int64_t gib : kCardGib) {
        row.n.push_back(capacity.most_sequences(gib << 30, n_tokens));
      }
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kUnsupported) throw;
    }
    out.push_back(std::move(row));
  }
  return out;
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

Json conversations_json(const Checkpoint& checkpoint, const ModelSummary& summary) {
  const int64_t n_tokens = std::min(kConversationTokens, summary.max_position);
  Json json = Json::array();
  for (const Conversations& row : conversations(checkpoint, n_tokens)) {
    for (size_t i = 0; i < row.n.size(); ++i) {
      json.push_back({{"kv_format", row.kv_format},
                      {"memory_bytes", kCardGib[i] << 30},
                      {"tokens", n_tokens},
                      {"conversations", row.n[i]}});
    }
  }
  return json;
}

Json fits_json(const Checkpoint& checkpoint) {
  Json json = Json::array();
  for (const Fit& fit : fits(checkpoint)) {
    json.push_back({{"memory_bytes", fit.memory_bytes}, {"longest_context", fit.context}});
  }
  return json;
}

Json model_json(const ModelSummary& summary) {
  Json layers = Json::array();
  for (const LayerGroup& group : summary.layers) {
    layers.push_back({{"layers", group.n_layers},
                      {"attention", group.attention},
                      {"window", group.window},
                      {"shared_kv", group.shared_kv},
                      {"heads", group.n_heads},
                      {"kv_heads", group.n_kv_heads},
                      {"head_dim", group.head_dim},
                      {"mlp_width", group.mlp_width},
                      {"experts", group.n_experts},
                      {"experts_per_token", group.top_k},
                      {"expert_width", group.expert_width}});
  }
  Json kv = Json::array();
  for (const int64_t n_tokens : contexts(summary)) {
    kv.push_back({{"tokens", n_tokens},
                  {"bytes", summary.kv_bytes(n_tokens, kKv)},
                  {"bytes_read", summary.kv_bytes_read(n_tokens, kKv)}});
  }
  return {{"arch", summary.arch},
          {"hidden", summary.hidden},
          {"vocab", summary.vocab},
          {"tied_head", summary.tied_head},
          {"max_position", summary.max_position},
          {"n_layers", summary.n_layers},
          {"layers", std::move(layers)},
          {"parameters", summary.n_parameters},
          {"active_parameters", summary.active_parameters},
          {"weight_bytes", summary.weight_bytes},
          {"bytes_per_token", summary.bytes_per_token},
          {"kv_bytes_per_token", summary.kv_bytes_per_token(kKv.format)},
          {"kv", std::move(kv)}};
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
            {fmt::format("KV cache ({})", kv_format_traits(kKv.format).name)},
            {"read a token, with weights"}});
  kv.add_row({"1", bytes(summary.kv_bytes_per_token(kKv.format)),
              bytes(summary.bytes_per_token + summary.kv_bytes_read(1, kKv))});
  for (const int64_t n_tokens : contexts(summary)) {
    kv.add_row({std::to_string(n_tokens), bytes(summary.kv_bytes(n_tokens, kKv)),
                bytes(summary.bytes_per_token + summary.kv_bytes_read(n_tokens, kKv))});
  }
  return text + layers.text() + "\n" + kv.text();
}

// Why texts cannot be read and written; empty if they can.
std::string text_state(const SourceCheck& check) {
  return check.text_problem.empty() ? check.text_note : check.text_problem;
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
               {"text_files", text_files(checkpoint)}};
  const SourceCheck check = check_source(checkpoint);
  json["model"] = check.summary ? model_json(*check.summary) : Json();
  if (check.summary) json["model"]["fits"] = fits_json(checkpoint);
  if (check.summary)
    json["model"]["conversations"] = conversations_json(checkpoint, *check.summary);
  if (!check.summary) json["not_runnable"] = check.problem;
  if (const std::string text = text_state(check); !text.empty()) json["no_text"] = text;
  if (list_tensors) {
    const TensorRoles roles(checkpoint.config());
    Json& list = json["tensor_list"] = Json::array();
    for (const TensorEntry& tensor : checkpoint.tensors()) {
      list.push_back({{"name", tensor.name},
                      {"class", tensor_class_name(class_of(roles, tensor))},
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
  const TensorRoles roles(checkpoint->config());
  Totals totals;
  for (const TensorEntry& tensor : checkpoint->tensors()) {
    totals[{class_of(roles, tensor), tensor.storage}].add(tensor);
  }
  if (global.json) {
    Json json = result_json("inspect");
    json.update(inspect_json(*checkpoint, totals, command.tensors));
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
  text += class_table(*checkpoint, totals) + "\n";
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
