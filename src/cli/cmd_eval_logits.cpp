// tq eval logits: what a model says to token ids, and what its layers compute on the way.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/npy.h"
#include "cli/command.h"
#include "cli/input.h"
#include "cli/model_options.h"
#include "cli/progress.h"
#include "cli/result.h"
#include "engine/evaluate.h"

namespace tq {
namespace {

constexpr int64_t kAnyContext = int64_t{1} << 40;  // as long as the model allows

struct LogitsOptions {
  ModelOptions model;
  std::string tokens;
  std::string out;
  std::string dump_layers;
};

// Collects what the model's observer sees and writes one .npy a stage and layer.
class LayerDump {
 public:
  LayerDump(Model& model, int64_t hidden) : model_(model), hidden_(hidden) {
    model_.set_observer(
        [this](std::string_view stage, int64_t layer, std::span<const float> values) {
          const std::string name =
              layer < 0 ? std::string(stage) : fmt::format("layer{:02}_{}", layer, stage);
          auto& all = stages_[name];
          all.insert(all.end(), values.begin(), values.end());
        });
  }
  ~LayerDump() { model_.set_observer({}); }

  void write(const fs::path& folder) const {
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) fail_errno(error.value(), "creating " + folder.string());
    for (const auto& [name, values] : stages_) {
      const int64_t shape[] = {static_cast<int64_t>(values.size()) / hidden_, hidden_};
      NpyWriter writer(folder / (name + ".npy"), shape);
      writer.append(values);
      writer.finish();
    }
  }

 private:
  Model& model_;
  int64_t hidden_;
  std::map<std::string, std::vector<float>> stages_;
};

void run_logits(const LogitsOptions& options, const GlobalOptions& global) {
  const ModelNeeds needs{.default_ctx = kAnyContext, .logits_of_all = true};
  const LoadedModel loaded = open_model(options.model, needs, global);
  const ModelSpec& spec = loaded.model->spec();
  const std::vector<int32_t> ids = read_token_file(options.tokens, spec.vocab);
  const auto n = static_cast<int64_t>(ids.size());
  LogitReader reader(*loaded.model, options.model.kv(), n);
  std::optional<LayerDump> dump;
  if (!options.dump_layers.empty()) dump.emplace(*loaded.model, spec.hidden);
  const int64_t shape[] = {n, spec.vocab};
  NpyWriter writer(options.out, shape);
  Progress progress(global, "logits", ProgressUnit::kItems, "tokens");
  progress.update(0, n);
  for (int64_t begin = 0; begin < n; begin += reader.max_chunk()) {
    const int64_t count = std::min(reader.max_chunk(), n - begin);
    writer.append(reader.next({ids.data() + begin, static_cast<size_t>(count)}, count));
    progress.update(begin + count, n);
  }
  writer.finish();
  progress.finish();
  if (dump) dump->write(options.dump_layers);
  if (global.json) {
    Json json = result_json("eval logits", options.model, loaded);
    json.update({{"out", options.out}, {"shape", {n, spec.vocab}}});
    print_json(json);
  } else {
    print_text(fmt::format("{}: float32 [{}, {}]\n", options.out, n, spec.vocab));
  }
}

}  // namespace

// A command of tq eval.
void add_eval_logits(CLI::App& eval, const GlobalOptions& global) {
  auto logits = std::make_shared<LogitsOptions>();
  CLI::App* command = eval.add_subcommand("logits", "Logits of token ids as a float32 .npy file");
  logits->model.ctx = kLongestContext;
  add_model_options(*command, logits->model, "no limit");
  command->add_option("--tokens", logits->tokens, "JSON file with a list of token ids")->required();
  command->add_option("--out", logits->out, ".npy file to write: [tokens, vocab]")->required();
  command->add_option("--dump-layers", logits->dump_layers,
                      "Folder for .npy files of the residual stream after each block");
  add_examples(*command, {"tq eval logits ./Qwen3-8B --tokens ids.json --out logits.npy"});
  command->callback([logits, &global] { run_logits(*logits, global); });
}

}  // namespace tq
