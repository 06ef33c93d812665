// tq eval tasks: questions with known answers.
#include <fmt/format.h>

#include <memory>
#include <optional>
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
#include "eval/task_run.h"

namespace tq {
namespace {

constexpr int64_t kTasksContext = 2048;

struct EvalTasksOptions {
  ModelOptions model;
  std::string file;
  std::string reference;
  int64_t limit = 0;
  int64_t shots = 0;
  int64_t parallel = 8;
  int64_t max_tokens = 64;
  std::vector<std::string> stop;
  std::string save;
};

// One model's answers, loaded for this only.
struct TaskRun {
  std::vector<TaskAnswer> answers;
  Json header;
};

TaskRun answer_tasks(const EvalTasksOptions& options, const ModelOptions& model,
                     std::span<const TaskItem> items, const GlobalOptions& global) {
  const ModelNeeds needs{.max_sequences = options.parallel,
                         .default_ctx = kTasksContext,
                         .logits_of_all = true,
                         .as_stored = &model != &options.model,
                         .text = true};
  const LoadedModel loaded = open_model(model, needs, global);
  if (!loaded.tokenizer) {
    fail(ErrorCode::kInvalidArgument, "{} has no tokenizer.json, which questions need", model.path);
  }
  TaskOptions tasks{.kv_format = model.kv(),
                    .max_tokens = options.max_tokens,
                    .stops = InterruptScope::interrupted};
  if (!options.stop.empty()) tasks.stop = options.stop;
  Progress progress(global, "answering", ProgressUnit::kItems, "questions");
  TaskRun run;
  run.answers = run_tasks(loaded, items, tasks,
                          [&](int64_t done, int64_t total) { progress.update(done, total); });
  run.header = result_json("eval tasks", model, loaded);
  return run;
}

Json mean_json(const RunningMean& mean) {
  if (mean.n() == 0) return nullptr;
  return {{"mean", mean.mean()}, {"se", mean.standard_error()}, {"n", mean.n()}};
}

Json scores_json(const TaskScores& scores) {
  return {{"acc", mean_json(scores.choice)},
          {"acc_norm", mean_json(scores.choice_by_byte)},
          {"exact_match", mean_json(scores.generated)}};
}

Json answers_json(std::span<const TaskItem> items, const TaskRun& run,
                  const std::optional<TaskRun>& reference) {
  const auto one = [](const TaskItem& item, const TaskAnswer& answer) {
    if (item.choices.empty()) return Json{{"text", answer.text}, {"right", answer.is_right}};
    return Json{{"chosen", answer.chosen},
                {"chosen_by_byte", answer.chosen_by_byte},
                {"log_probabilities", answer.log_probabilities},
                {"right", answer.is_right}};
  };
  Json list = Json::array();
  for (size_t i = 0; i < items.size(); ++i) {
    Json json = {{"id", items[i].id}};
    json.update(one(items[i], run.answers[i]));
    if (reference) json["reference"] = one(items[i], reference->answers[i]);
    list.push_back(std::move(json));
  }
  return list;
}

std::string tasks_table(const TaskScores& scores, const std::optional<TaskScores>& reference) {
  std::vector<Table::Column> columns{{"measure", Table::Align::kLeft}, {"questions"}, {"model"}};
  columns.push_back({"+-"});
  if (reference) {
    columns.push_back({"reference"});
    columns.push_back({"+-"});
  }
  Table table(std::move(columns));
  const auto add = [&](const char* name, RunningMean TaskScores::*member) {
    const RunningMean& mean = scores.*member;
    if (mean.n() == 0) return;
    std::vector<std::string> row{name, std::to_string(mean.n()), fmt::format("{:.4f}", mean.mean()),
                                 fmt::format("{:.4f}", mean.standard_error())};
    if (reference) {
      row.push_back(fmt::format("{:.4f}", ((*reference).*member).mean()));
      row.push_back(fmt::format("{:.4f}", ((*reference).*member).standard_error()));
    }
    table.add_row(std::move(row));
  };
  add("acc", &TaskScores::choice);
  add("acc_norm", &TaskScores::choice_by_byte);
  add("exact_match", &TaskScores::generated);
  return table.text();
}

void run_eval_tasks(const EvalTasksOptions& options, const GlobalOptions& global) {
  const int64_t n_lines = options.limit > 0 ? options.limit + options.shots : 0;
  const std::vector<TaskItem> items =
      with_shots(read_task_file(options.file, n_lines), options.shots);
  const InterruptScope interrupt;
  const TaskRun run = answer_tasks(options, options.model, items, global);
  std::optional<TaskRun> reference;
  if (!options.reference.empty()) {
    reference = answer_tasks(options, options.model.as_reference(options.reference), items, global);
  }
  Json json = run.header;
  const TaskScores scores = task_scores(items, run.answers);
  std::optional<TaskScores> reference_scores;
  std::optional<TaskAgreement> agreement;
  json.update({{"tasks", options.file}, {"shots", options.shots}, {"seed", 0}});
  json.update(scores_json(scores));
  if (reference) {
    reference_scores = task_scores(items, reference->answers);
    agreement = task_agreement(items, run.answers, reference->answers);
    json["reference"] = {{"model", options.reference},
                         {"kv_dtype", reference->header["settings"]["kv_dtype"]}};
    json["reference"].update(scores_json(*reference_scores));
    json["agreement"] = mean_json(agreement->same);
    json["difference"] = mean_json(agreement->difference);
    json["only_model_right"] = agreement->only_a;
    json["only_reference_right"] = agreement->only_b;
  }
  json["answers"] = answers_json(items, run, reference);
  if (!options.save.empty()) write_file_atomic(options.save, json.dump(1) + "\n");
  if (global.json) return print_json(json);
  std::string text = tasks_table(scores, reference_scores);
  if (agreement) {
    text += fmt::format(
        "\nsame answer: {:.4f} +- {:.4f}\n"
        "difference of what is right, in pairs: {:.4f} +- {:.4f} ({} only the model, {} only the "
        "reference)\n",
        agreement->same.mean(), agreement->same.standard_error(), agreement->difference.mean(),
        agreement->difference.standard_error(), agreement->only_a, agreement->only_b);
  }
  print_text(text);
}

}  // namespace

// A command of tq eval.
void add_eval_tasks(CLI::App& eval, const GlobalOptions& global) {
  auto options = std::make_shared<EvalTasksOptions>();
  CLI::App* command =
      eval.add_subcommand("tasks", "Questions with known answers: multiple choice, short answers");
  add_model_options(*command, options->model, std::to_string(kTasksContext));
  constexpr const char* kGroup = "Questions";
  command
      ->add_option("--tasks", options->file,
                   "JSON lines: our form, or those of ARC, MMLU, HellaSwag, PIQA, WinoGrande, "
                   "BoolQ, OpenBookQA, GSM8K, TriviaQA (docs/evaluation.md)")
      ->required()
      ->group(kGroup);
  command
      ->add_option("--reference", options->reference,
                   "Another model, such as the source, that answers too, as it is stored")
      ->group(kGroup);
  command->add_option("--limit", options->limit, "Questions at most, from the first on; 0: all")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 32))
      ->group(kGroup);
  command
      ->add_option("--shots", options->shots,
                   "So many questions of the file stand, answered, in front of each of the others")
      ->check(CLI::Range(int64_t{0}, int64_t{1000}))
      ->group(kGroup);
  command->add_option("--parallel", options->parallel, "Choices and answers computed together")
      ->check(CLI::Range(int64_t{1}, int64_t{1024}))
      ->group(kGroup);
  command
      ->add_option("-n,--max-tokens", options->max_tokens, "Tokens of a generated answer at most")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->group(kGroup);
  command
      ->add_option("--stop", options->stop,
                   "Text that ends a generated answer (default: the end of the line); may be "
                   "repeated")
      ->allow_extra_args(false)
      ->group(kGroup);
  command->add_option("--save", options->save, "File for the result as JSON")->group(kGroup);
  add_examples(*command,
               {"tq eval tasks ./Qwen3-8B-tq --tasks arc.jsonl",
                "tq eval tasks ./Qwen3-8B-tq --tasks mmlu.jsonl --reference ./Qwen3-8B --shots 5",
                "tq eval tasks ./Qwen3-8B-tq --tasks gsm8k.jsonl --shots 4 -n 256 --limit 200"});
  command->callback([options, &global] { run_eval_tasks(*options, global); });
}

}  // namespace tq
