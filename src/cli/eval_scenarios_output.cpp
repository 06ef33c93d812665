#include "cli/eval_scenarios_output.h"

#include <fmt/format.h>

#include <vector>

#include "cli/table.h"

namespace tq {
namespace {

using AllScores = std::vector<std::vector<ScenarioScore>>;  // of each run

std::string scenario_rows(const ScenarioReport& report, const AllScores& scores) {
  std::vector<Table::Column> columns{{"scenario", Table::Align::kLeft},
                                     {"language", Table::Align::kLeft}};
  for (size_t r = 0; r < scores.size(); ++r) {
    const char* which = scores.size() == 1 ? "" : r == 0 ? " A" : " B";
    columns.push_back({fmt::format("judged{}", which)});
    columns.push_back({fmt::format("checks{}", which)});
  }
  Table table(std::move(columns));
  for (size_t i = 0; i < report.scenarios.size(); ++i) {
    std::vector<std::string> row{report.scenarios[i].id, report.scenarios[i].language};
    for (const auto& run : scores) {
      row.push_back(run[i].judged ? fmt::format("{:.2f}", *run[i].judged) : "-");
      row.push_back(run[i].checks ? fmt::format("{:.0f} %", 100 * *run[i].checks) : "-");
    }
    table.add_row(std::move(row));
  }
  return table.text();
}

std::string measure_rows(const AllScores& scores) {
  std::vector<Table::Column> columns{{"mean, 95 % interval", Table::Align::kLeft}};
  for (size_t r = 0; r < scores.size(); ++r) {
    columns.push_back({scores.size() == 1 ? "" : r == 0 ? "A" : "B"});
  }
  std::vector<Measure> others;
  std::vector<Measure> differences;
  if (scores.size() == 2) {
    others = run_measures(scores[1]);
    differences = run_differences(scores[0], scores[1]);
    columns.push_back({"A - B"});
    columns.push_back({"", Table::Align::kLeft});
  }
  const size_t n_columns = columns.size();
  Table table(std::move(columns));
  for (const Measure& measure : run_measures(scores[0])) {
    std::vector<std::string> row{measure.name, interval_text(measure.interval)};
    if (scores.size() == 2) {
      const Measure* const other = find_measure(others, measure.name);
      row.push_back(other == nullptr ? "" : interval_text(other->interval));
      if (const Measure* const difference = find_measure(differences, measure.name)) {
        row.push_back(interval_text(difference->interval));
        row.push_back(difference->interval.differs_from(0) ? "significant" : "");
      }
    }
    row.resize(n_columns);
    table.add_row(std::move(row));
  }
  return table.text();
}

std::string win_rate_text(const ScenarioReport& report) {
  if (report.pairs.empty()) return "";
  const WinRate rate = win_rate(report.pairs, report.scenarios.size());
  return fmt::format(
      "\nblind pairs: A wins {}, ties {} (of these the order decided {}), loses {}, not judged {}; "
      "points {}{}\n",
      rate.wins, rate.ties, rate.order_bound, rate.losses, rate.missing, interval_text(rate.points),
      rate.points.differs_from(0.5) ? ", significant" : "");
}

}  // namespace

std::string scenarios_text(const ScenarioReport& report) {
  std::string text;
  for (size_t r = 0; r < report.runs.size(); ++r) {
    const SubjectRun& run = report.runs[r];
    const Cost cost = cost_of(run);
    text += fmt::format("{}{}: {} answers, {} tokens in {:.1f} s",
                        report.runs.size() == 1 ? ""
                        : r == 0                ? "A: "
                                                : "B: ",
                        run.name, cost.n_answers, cost.output_tokens, cost.busy_seconds);
    if (const auto price = price_of(cost, report.price_per_hour)) {
      text += fmt::format("; {:.4g} a million output tokens, {:.4g} a conversation",
                          price->million_tokens, price->conversation);
    }
    text += "\n";
  }
  AllScores scores;
  for (const SubjectRun& run : report.runs) {
    scores.push_back(scenario_scores(run, report.scenarios.size()));
  }
  return text + "\n" + scenario_rows(report, scores) + "\n" + measure_rows(scores) +
         win_rate_text(report);
}

}  // namespace tq
