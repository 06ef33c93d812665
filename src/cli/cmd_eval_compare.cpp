// tq eval compare: several checkpoints of one model side by side.
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/human.h"
#include "cli/command.h"
#include "cli/eval_text.h"
#include "cli/progress.h"
#include "cli/report_facts.h"
#include "cli/result.h"
#include "cli/table.h"
#include "loadgen/bars.h"
#include "loadgen/page.h"
#include "loadgen/plot.h"

namespace tq {
namespace {

constexpr int64_t kCompareWindow = 512;
constexpr int kDecodedTokens = 32;

struct EvalCompareOptions {
  std::vector<std::string> models;
  EvalOptions eval;  // how they are run, the text, and the reference (empty: the first model)
  std::string save;
  std::string report;
};

struct Compared {
  std::string model;
  int64_t bytes = 0;  // of tensors, as they are stored
  double bits = 0;    // of a weight
  KldResult result;
  double prefill_rate = 0;  // tokens a second
  double decode_rate = 0;
  Json header;
};

double seconds_of(const std::function<void()>& what) {
  const auto begin = std::chrono::steady_clock::now();
  what();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void measure_size(const Checkpoint& checkpoint, Compared& out) {
  int64_t weights = 0;
  for (const TensorEntry& tensor : checkpoint.tensors()) {
    out.bytes += tensor.stored_bytes;
    weights += tensor.n_elements();
  }
  out.bits = weights == 0 ? 0 : 8 * static_cast<double>(out.bytes) / static_cast<double>(weights);
}

// One sequence: the beginning of the text at once, and then token by token.
void measure_speed(const EvalText& text, LogitReader& reader, Compared& out) {
  const auto n = std::min<size_t>(static_cast<size_t>(reader.max_chunk()),
                                  static_cast<size_t>(text.windows[0].end));
  const auto ids = text.ids.first(n);
  reader.restart();
  reader.next(ids.first(1), 1);  // warms up
  reader.restart();
  out.prefill_rate = static_cast<double>(n) / seconds_of([&] { reader.next(ids, 1); });
  const int n_steps = static_cast<int>(std::min<size_t>(kDecodedTokens, n - 1));
  reader.restart();
  reader.next(ids.first(n - static_cast<size_t>(n_steps)), 1);
  out.decode_rate = n_steps / seconds_of([&] {
                      for (int i = 0; i < n_steps; ++i) {
                        reader.next(ids.subspan(n - static_cast<size_t>(n_steps - i), 1), 1);
                      }
                    });
}

Compared compare_one(const EvalOptions& eval, const std::string& path, const LoadedModel& reference,
                     const GlobalOptions& global) {
  Compared out{.model = path, .result = {}, .header = {}};
  EvalOptions one = eval;
  one.model.path = path;
  const ModelNeeds needs{.default_ctx = kCompareWindow,
                         .logits_of_all = true,
                         .as_stored = true,
                         .text = eval.tokens.empty()};
  const LoadedModel loaded = open_model(one.model, needs, global);
  measure_size(*loaded.checkpoint, out);
  const TextIds ids = read_ids(one, loaded);
  check_same_ids(one, loaded, reference, ids);
  const EvalText text = plan_windows(ids, one, loaded);
  LogitReader reader = make_reader(loaded);
  LogitReader reference_reader = make_reader(reference);
  measure_speed(text, reader, out);
  Progress progress(global, path, ProgressUnit::kItems, "tokens");
  out.result = evaluate_kld(reader, reference_reader, text,
                            [&](int64_t done, int64_t total) { progress.update(done, total); });
  progress.finish();
  out.header = result_json("eval compare", one.model, loaded);
  return out;
}

Json compared_json(const Compared& one) {
  Json json = {{"model", one.model},
               {"bytes", one.bytes},
               {"bits_per_weight", one.bits},
               {"kld", one.result.kld.mean()},
               {"kld_se", one.result.kld.standard_error()},
               {"same_top1", one.result.same_top1.mean()},
               {"same_top1_se", one.result.same_top1.standard_error()},
               {"prefill_tokens_per_s", one.prefill_rate},
               {"decode_tokens_per_s", one.decode_rate}};
  json.update(perplexity(one.result.nll));
  return json;
}

std::vector<std::vector<std::string>> compared_rows(const std::vector<Compared>& all) {
  std::vector<std::vector<std::string>> rows{{"model", "size", "bits/weight", "perplexity", "+-",
                                              "KLD", "+-", "same top token", "prefill tokens/s",
                                              "decode tokens/s"}};
  for (const Compared& one : all) {
    const Json ppl = perplexity(one.result.nll);
    rows.push_back(
        {one.model, human_bytes(static_cast<double>(one.bytes)), fmt::format("{:.3f}", one.bits),
         fmt::format("{:.3f}", ppl["ppl"].get<double>()),
         fmt::format("{:.3f}", ppl["ppl_se"].get<double>()),
         fmt::format("{:.5f}", one.result.kld.mean()),
         fmt::format("{:.5f}", one.result.kld.standard_error()),
         fmt::format("{:.2f} %", 100 * one.result.same_top1.mean()),
         fmt::format("{:.1f}", one.prefill_rate), fmt::format("{:.1f}", one.decode_rate)});
  }
  return rows;
}

std::string compare_html(const std::vector<Compared>& all, const EvalCompareOptions& options,
                         const std::string& reference) {
  std::vector<PageFact> facts = page_facts(all[0].header["device"]);
  facts.emplace_back("reference", reference);
  facts.emplace_back("text", options.eval.text.empty() ? options.eval.tokens : options.eval.text);
  facts.emplace_back("tokens", std::to_string(all[0].result.kld.n()));
  Plot plot{.title = "Divergence by size",
            .x_label = "GB",
            .y_label = "KLD, nats",
            .series = {},
            .mark_points = true};
  BarChart agreement{.title = "Same top token",
                     .x_label = "%",
                     .most = 100,
                     .labels = {},
                     .series = {{"same top token", {}}}};
  BarChart decode{.title = "Decoding, one sequence",
                  .x_label = "tokens/s",
                  .labels = {},
                  .series = {{"decode", {}}}};
  for (const Compared& one : all) {
    plot.series.push_back(
        {one.model, {{static_cast<double>(one.bytes) / 1e9, one.result.kld.mean()}}});
    const std::string label = fs::path(one.model).filename().string();
    agreement.labels.push_back(label);
    agreement.series[0].bars.emplace_back(Bar{100 * one.result.same_top1.mean()});
    decode.labels.push_back(label);
    decode.series[0].bars.emplace_back(Bar{one.decode_rate});
    decode.most = std::max(decode.most, one.decode_rate * 1.05);
  }
  return html_head("tq eval compare", facts) + html_table(compared_rows(all)) +
         "<div class=\"plots\">\n" + plot_svg(plot) + bars_svg(agreement) + bars_svg(decode) +
         "</div>\n" + html_foot();
}

void run_eval_compare(EvalCompareOptions options, const GlobalOptions& global) {
  const std::string reference_path =
      options.eval.reference.empty() ? options.models[0] : options.eval.reference;
  options.eval.reference = reference_path;
  const LoadedModel reference =
      open_model(options.eval.model.as_reference(reference_path),
                 {.default_ctx = kCompareWindow, .logits_of_all = true, .as_stored = true}, global);
  // The same windows for all.
  options.eval.model.ctx = reference.model->options().max_context;
  std::vector<Compared> all;
  for (const std::string& model : options.models) {
    all.push_back(compare_one(options.eval, model, reference, global));
  }
  Json json = result_json("eval compare");
  json["device"] = all[0].header["device"];
  json["settings"] = all[0].header["settings"];
  add_reference(json, options.eval, reference);
  json["tokens"] = all[0].result.kld.n();
  json["seed"] = 0;
  Json models = Json::array();
  for (const Compared& one : all) models.push_back(compared_json(one));
  json["models"] = std::move(models);
  if (!options.save.empty()) write_file_atomic(options.save, json.dump(1) + "\n");
  if (!options.report.empty()) {
    write_file_atomic(options.report, compare_html(all, options, reference_path));
  }
  if (global.json) return print_json(json);
  const auto rows = compared_rows(all);
  std::vector<Table::Column> columns;
  for (const std::string& name : rows[0]) {
    columns.push_back({name, columns.empty() ? Table::Align::kLeft : Table::Align::kRight});
  }
  Table table(std::move(columns));
  for (size_t i = 1; i < rows.size(); ++i) table.add_row(rows[i]);
  print_text(fmt::format("{}KLD and same top token: beside {}, over {} tokens\n", table.text(),
                         reference_path, all[0].result.kld.n()));
}

}  // namespace

// A command of tq eval.
void add_eval_compare(CLI::App& eval, const GlobalOptions& global) {
  auto options = std::make_shared<EvalCompareOptions>();
  CLI::App* command = eval.add_subcommand(
      "compare", "Size, speed, perplexity and divergence of several checkpoints, in one table");
  command->add_option("MODELS", options->models, "Checkpoints of one model")->required();
  command->add_option("--reference", options->eval.reference,
                      "The model to compare with; without it the first of MODELS");
  add_scored_text_options(*command, options->eval);
  ModelOptions& model = options->eval.model;
  command->add_option("--device", model.device, "Where to compute: cpu, cuda, cuda:N, auto");
  command->add_option("--threads", model.threads, "CPU threads; 0 is every CPU available")
      ->check(CLI::Range(0, 4096));
  command
      ->add_option("--ctx", model.ctx, fmt::format("Tokens of a window; 0 is {}", kCompareWindow))
      ->check(CLI::Range(int64_t{0}, kMostContext));
  command->add_option("--batch", model.batch, "Tokens of one forward pass at most")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 16));
  command->add_flag("--exact", model.exact,
                    "Compute with fp32 activations and KV cache throughout (slower)");
  add_ignore_config(*command, model.ignore_config);
  command->add_option("--save", options->save, "File for the result as JSON");
  command->add_option("--report", options->report, "File for an HTML page with plots");
  add_examples(*command, {"tq eval compare ./Qwen3-8B ./Qwen3-8B-tq3 ./Qwen3-8B-tq4 --text "
                          "wiki.test.raw --max-tokens 20000 --report compare.html"});
  command->callback([options, &global] { run_eval_compare(*options, global); });
}

}  // namespace tq
