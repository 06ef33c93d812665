// What conversations and judgements come to: of each scenario, of a subject, and of one subject
// beside another. The unit of all means and intervals is the scenario: what one gets with several
// seeds is averaged first.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "eval/bootstrap.h"
#include "eval/judge.h"

namespace tq {

// A subject as it went through all scenarios.
struct SubjectRun {
  std::string name;
  Json identity;
  std::vector<Conversation> conversations;  // scenarios, and of each the seeds (converse())
  std::vector<Judgement> judgements;        // as many, or none without a judge
};

struct ScenarioScore {
  std::optional<double> judged;  // 1 to 5; nothing where no conversation of it was judged
  std::optional<double> checks;  // share that passed, 0 to 1; nothing where it has none
  // Of each of the scenario's criteria; empty where nothing was judged.
  std::vector<std::pair<std::string, double>> criteria;
};

// One for each scenario, in their order.
std::vector<ScenarioScore> scenario_scores(const SubjectRun& run, size_t n_scenarios);

// A measure of a whole run, or of the difference between two.
struct Measure {
  std::string name;  // "judged", "checks", or a criterion's
  Interval interval;
};

// "judged" and "checks", then the criteria in the order in which scenarios name them. Those without
// any value are left out.
std::vector<Measure> run_measures(std::span<const ScenarioScore> scores);
// a - b over the scenarios in which both have a value.
std::vector<Measure> run_differences(std::span<const ScenarioScore> a,
                                     std::span<const ScenarioScore> b);
// Null where none has this name.
const Measure* find_measure(std::span<const Measure> measures, std::string_view name);

// Wins of a over b: points of scenarios (1, 0.5, 0), which are 0.5 in the mean if neither is
// better.
struct WinRate {
  Interval points;
  int64_t wins = 0;  // conversations
  int64_t losses = 0;
  int64_t ties = 0;
  int64_t order_bound = 0;  // of the ties: the verdict turned round with the order
  int64_t missing = 0;      // not judged
};
WinRate win_rate(std::span<const PairJudgement> pairs, size_t n_scenarios);

// Time and tokens of a subject's answers.
struct Cost {
  int64_t n_conversations = 0;
  int64_t n_answers = 0;
  int64_t prompt_tokens = 0;
  int64_t output_tokens = 0;
  double busy_seconds = 0;    // in which at least one answer was under way
  double median_seconds = 0;  // of an answer
  double slow_seconds = 0;    // 95th percentile
};
Cost cost_of(const SubjectRun& run);

}  // namespace tq
