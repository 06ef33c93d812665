// tq eval needle: facts in long texts.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/model_options.h"
#include "cli/progress.h"
#include "cli/result.h"
#include "cli/table.h"
#include "eval/needle.h"

namespace tq {
namespace {

struct EvalNeedleOptions {
  ModelOptions model;
  NeedleOptions needle;
  std::string text;
};

std::string needle_table(const NeedleOptions& options, const std::vector<NeedleCell>& cells) {
  std::vector<Table::Column> columns{{"tokens"}};
  for (const double depth : options.depths) {
    columns.push_back({fmt::format("at {:.0f} %", 100 * depth)});
  }
  Table table(std::move(columns));
  for (size_t row = 0; row < options.lengths.size(); ++row) {
    std::vector<std::string> cells_of_row{std::to_string(options.lengths[row])};
    for (size_t i = 0; i < options.depths.size(); ++i) {
      const NeedleCell& cell = cells[row * options.depths.size() + i];
      cells_of_row.push_back(
          fmt::format("{}/{} ({:.2f})", cell.found, cell.trials, cell.log_probability));
    }
    table.add_row(std::move(cells_of_row));
  }
  return table.text();
}

void run_eval_needle(EvalNeedleOptions options, const GlobalOptions& global) {
  for (double& depth : options.needle.depths) depth /= 100;
  int64_t longest = 0;
  for (const int64_t length : options.needle.lengths) longest = std::max(longest, length);
  if (options.model.ctx == 0) options.model.ctx = longest;
  const LoadedModel loaded =
      open_model(options.model, {.logits_of_all = true, .text = true}, global);
  if (!loaded.tokenizer) {
    fail(ErrorCode::kInvalidArgument, "{} has no tokenizer.json, which texts need",
         options.model.path);
  }
  if (!options.text.empty()) options.needle.filler = read_text_file(options.text);
  options.needle.kv_format = options.model.kv();
  options.needle.stops = InterruptScope::interrupted;
  const InterruptScope interrupt;
  Progress progress(global, "searching", ProgressUnit::kItems, "needles");
  const std::vector<NeedleCell> cells = find_needles(
      loaded, options.needle, [&](int64_t done, int64_t total) { progress.update(done, total); });
  progress.finish();
  int64_t found = 0;
  int64_t trials = 0;
  Json list = Json::array();
  for (const NeedleCell& cell : cells) {
    found += cell.found;
    trials += cell.trials;
    list.push_back({{"tokens", cell.length},
                    {"prompt_tokens", cell.prompt_tokens},
                    {"depth", cell.depth},
                    {"found", cell.found},
                    {"trials", cell.trials},
                    {"log_probability", cell.log_probability}});
  }
  if (global.json) {
    Json json = result_json("eval needle", options.model, loaded);
    json.update({{"seed", options.needle.seed},
                 {"found", found},
                 {"trials", trials},
                 {"cells", std::move(list)}});
    return print_json(json);
  }
  print_text(fmt::format("{}found {} of {}; in brackets the mean log probability of the number\n",
                         needle_table(options.needle, cells), found, trials));
}

}  // namespace

// A command of tq eval.
void add_eval_needle(CLI::App& eval, const GlobalOptions& global) {
  auto options = std::make_shared<EvalNeedleOptions>();
  options->needle.lengths = {512, 1024, 2048, 4096};
  options->needle.depths = {0, 25, 50, 75, 100};
  CLI::App* command =
      eval.add_subcommand("needle", "Whether a fact is found in long texts, by length and depth");
  add_model_options(*command, options->model, "the longest of --lengths");
  command->add_option("--lengths", options->needle.lengths, "Tokens of the texts: 1024,8192,32768")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(int64_t{1}, kMostContext));
  command
      ->add_option("--depths", options->needle.depths,
                   "Where the fact lies, in percent of the text: 0,50,100")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(0.0, 100.0));
  command->add_option("--trials", options->needle.trials, "Facts at each place")
      ->check(CLI::Range(int64_t{1}, int64_t{100000}));
  command->add_option("--seed", options->needle.seed, "Of facts and made-up sentences");
  command->add_option("--text", options->text,
                      "UTF-8 text to hide facts in, again from its beginning where it is short; "
                      "without it made-up sentences");
  add_examples(*command, {"tq eval needle ./Qwen3-8B-tq --lengths 4096,16384,32768 --trials 5",
                          "tq eval needle ./Qwen3-8B --kv-dtype f16 --text book.txt"});
  command->callback([options, &global] { run_eval_needle(*options, global); });
}

}  // namespace tq
