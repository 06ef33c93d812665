#include "eval/scores.h"

#include <algorithm>

#include "loadgen/statistics.h"

namespace tq {
namespace {

struct Sum {
  double sum = 0;
  int64_t n = 0;
  void add(double value) {
    sum += value;
    ++n;
  }
  std::optional<double> mean() const {
    return n == 0 ? std::nullopt : std::optional(sum / static_cast<double>(n));
  }
};

// The values of one measure: a scenario's, or nothing.
struct Column {
  std::string name;
  std::vector<std::optional<double>> values;
};

std::vector<Column> columns_of(std::span<const ScenarioScore> scores) {
  std::vector<Column> columns{{"judged", {}}, {"checks", {}}};
  for (const ScenarioScore& score : scores) {
    columns[0].values.push_back(score.judged);
    columns[1].values.push_back(score.checks);
  }
  for (size_t i = 0; i < scores.size(); ++i) {
    for (const auto& criterion : scores[i].criteria) {
      auto found = std::find_if(columns.begin() + 2, columns.end(), [&](const Column& column) {
        return column.name == criterion.first;
      });
      if (found == columns.end()) {
        found = columns.insert(
            found, {criterion.first, std::vector<std::optional<double>>(scores.size())});
      }
      found->values[i] = criterion.second;
    }
  }
  return columns;
}

}  // namespace

std::vector<ScenarioScore> scenario_scores(const SubjectRun& run, size_t n_scenarios) {
  std::vector<ScenarioScore> out;
  const size_t n_seeds = n_scenarios == 0 ? 0 : run.conversations.size() / n_scenarios;
  for (size_t s = 0; s < n_scenarios; ++s) {
    Sum judged;
    Sum checks;
    const Scenario& scenario = *run.conversations[s * n_seeds].scenario;
    std::vector<Sum> criteria(scenario.criteria.size());
    for (size_t i = s * n_seeds; i < (s + 1) * n_seeds; ++i) {
      const Conversation& conversation = run.conversations[i];
      if (conversation.fault.empty() && conversation.n_checks() > 0) {
        checks.add(static_cast<double>(conversation.n_passed()) /
                   static_cast<double>(conversation.n_checks()));
      }
      if (run.judgements.empty() || !run.judgements[i].is_complete()) continue;
      judged.add(run.judgements[i].mean());
      for (size_t c = 0; c < criteria.size(); ++c) criteria[c].add(run.judgements[i].score(c));
    }
    ScenarioScore score{.judged = judged.mean(), .checks = checks.mean(), .criteria = {}};
    for (size_t c = 0; c < criteria.size() && criteria[c].n > 0; ++c) {
      score.criteria.emplace_back(scenario.criteria[c].name, *criteria[c].mean());
    }
    out.push_back(std::move(score));
  }
  return out;
}

std::vector<Measure> run_measures(std::span<const ScenarioScore> scores) {
  std::vector<Measure> out;
  for (const Column& column : columns_of(scores)) {
    std::vector<double> values;
    for (const auto& value : column.values) {
      if (value) values.push_back(*value);
    }
    if (!values.empty()) out.push_back({column.name, bootstrap_mean(values)});
  }
  return out;
}

std::vector<Measure> run_differences(std::span<const ScenarioScore> a,
                                     std::span<const ScenarioScore> b) {
  const std::vector<Column> of_a = columns_of(a);
  const std::vector<Column> of_b = columns_of(b);
  std::vector<Measure> out;
  for (const Column& column : of_a) {
    const auto other = std::find_if(of_b.begin(), of_b.end(),
                                    [&](const Column& one) { return one.name == column.name; });
    if (other == of_b.end()) continue;
    std::vector<double> values_a;
    std::vector<double> values_b;
    for (size_t i = 0; i < column.values.size(); ++i) {
      if (!column.values[i] || !other->values[i]) continue;
      values_a.push_back(*column.values[i]);
      values_b.push_back(*other->values[i]);
    }
    if (!values_a.empty()) out.push_back({column.name, bootstrap_difference(values_a, values_b)});
  }
  return out;
}

const Measure* find_measure(std::span<const Measure> measures, std::string_view name) {
  const auto found = std::find_if(measures.begin(), measures.end(),
                                  [&](const Measure& measure) { return measure.name == name; });
  return found == measures.end() ? nullptr : &*found;
}

WinRate win_rate(std::span<const PairJudgement> pairs, size_t n_scenarios) {
  WinRate out;
  const size_t n_seeds = n_scenarios == 0 ? 0 : pairs.size() / n_scenarios;
  std::vector<double> points;
  for (size_t s = 0; s < n_scenarios; ++s) {
    Sum sum;
    for (const PairJudgement& pair : pairs.subspan(s * n_seeds, n_seeds)) {
      if (!pair.is_complete()) {
        ++out.missing;
        continue;
      }
      const double value = pair.points();
      sum.add(value);
      ++(value == 1 ? out.wins : value == 0 ? out.losses : out.ties);
      if (pair.is_order_bound()) ++out.order_bound;
    }
    if (sum.n > 0) points.push_back(*sum.mean());
  }
  out.points = bootstrap_mean(points);
  return out;
}

Cost cost_of(const SubjectRun& run) {
  Cost cost;
  std::vector<double> seconds;
  std::vector<std::pair<double, double>> spans;
  for (const Conversation& conversation : run.conversations) {
    if (!conversation.turns.empty()) ++cost.n_conversations;
    for (const SaidTurn& turn : conversation.turns) {
      const ChatAnswer& answer = turn.answer;
      ++cost.n_answers;
      cost.prompt_tokens += answer.prompt_tokens;
      cost.output_tokens += answer.output_tokens;
      seconds.push_back(answer.seconds);
      spans.emplace_back(answer.began, answer.began + answer.seconds);
    }
  }
  std::sort(spans.begin(), spans.end());
  double until = 0;
  for (const auto& [begin, end] : spans) {
    cost.busy_seconds += std::max(0.0, end - std::max(begin, until));
    until = std::max(until, end);
  }
  if (!seconds.empty()) {
    std::sort(seconds.begin(), seconds.end());
    cost.median_seconds = percentile(seconds, 50);
    cost.slow_seconds = percentile(seconds, 95);
  }
  return cost;
}

}  // namespace tq
