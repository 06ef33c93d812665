#include <algorithm>

#include "eval/scenario_report.h"

namespace tq {
namespace {

Json interval_json(const Interval& interval) {
  return {{"mean", interval.mean},
          {"low", interval.low},
          {"high", interval.high},
          {"scenarios", interval.n}};
}

Json measures_json(const std::vector<Measure>& measures, bool are_differences) {
  Json list = Json::array();
  for (const Measure& measure : measures) {
    Json item = {{"name", measure.name}};
    item.update(interval_json(measure.interval));
    if (are_differences) item["significant"] = measure.interval.differs_from(0);
    list.push_back(std::move(item));
  }
  return list;
}

Json optional_json(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

Json judgement_json(const Judgement& judgement) {
  Json json = Json::object();
  if (!judgement.fault.empty()) json["fault"] = judgement.fault;
  if (!judgement.is_complete()) return json;
  json["mean"] = judgement.mean();
  Json criteria = Json::array();
  for (size_t c = 0; c < judgement.orders.front().size(); ++c) {
    Json scores = Json::array();
    Json reasons = Json::array();
    for (const auto& order : judgement.orders) {
      scores.push_back(order[c].score);
      reasons.push_back(order[c].reason);
    }
    criteria.push_back({{"name", judgement.orders.front()[c].criterion},
                        {"score", judgement.score(c)},
                        {"scores", std::move(scores)},
                        {"reasons", std::move(reasons)}});
  }
  json["criteria"] = std::move(criteria);
  return json;
}

Json conversation_json(const SubjectRun& run, size_t i) {
  const Conversation& conversation = run.conversations[i];
  Json turns = Json::array();
  for (const SaidTurn& turn : conversation.turns) {
    Json checks = Json::array();
    for (const CheckResult& check : turn.checks) {
      checks.push_back({{"name", check.name}, {"passed", check.passed}});
    }
    Json said = {{"user", turn.user}};
    said.update(turn.answer.json());
    said["checks"] = std::move(checks);
    turns.push_back(std::move(said));
  }
  Json json = {{"scenario", conversation.scenario->id},
               {"seed", conversation.seed},
               {"checks_passed", conversation.n_passed()},
               {"checks", conversation.n_checks()},
               {"turns", std::move(turns)}};
  if (!conversation.fault.empty()) json["fault"] = conversation.fault;
  if (!run.judgements.empty()) json["judgement"] = judgement_json(run.judgements[i]);
  return json;
}

Json cost_json(const Cost& cost, const std::optional<double>& price_per_hour) {
  Json json = {{"conversations", cost.n_conversations}, {"answers", cost.n_answers},
               {"prompt_tokens", cost.prompt_tokens},   {"output_tokens", cost.output_tokens},
               {"busy_s", cost.busy_seconds},           {"median_answer_s", cost.median_seconds},
               {"p95_answer_s", cost.slow_seconds}};
  if (const auto price = price_of(cost, price_per_hour)) {
    json.update({{"price_per_hour", *price_per_hour},
                 {"price_per_million_output_tokens", price->million_tokens},
                 {"price_per_conversation", price->conversation}});
  }
  return json;
}

Json subject_json(const ScenarioReport& report, const SubjectRun& run,
                  const std::vector<ScenarioScore>& scores) {
  Json by_scenario = Json::array();
  for (size_t i = 0; i < scores.size(); ++i) {
    by_scenario.push_back({{"scenario", report.scenarios[i].id},
                           {"judged", optional_json(scores[i].judged)},
                           {"checks", optional_json(scores[i].checks)}});
  }
  Json conversations = Json::array();
  for (size_t i = 0; i < run.conversations.size(); ++i) {
    conversations.push_back(conversation_json(run, i));
  }
  return {{"name", run.name},
          {"identity", run.identity},
          {"measures", measures_json(run_measures(scores), false)},
          {"by_scenario", std::move(by_scenario)},
          {"cost", cost_json(cost_of(run), report.price_per_hour)},
          {"conversations", std::move(conversations)}};
}

const char* preference_name(Preference preference) {
  switch (preference) {
    case Preference::kFirst:
      return "A";
    case Preference::kSecond:
      return "B";
    default:
      return "tie";
  }
}

Json pairs_json(const ScenarioReport& report) {
  const WinRate rate = win_rate(report.pairs, report.scenarios.size());
  Json list = Json::array();
  for (size_t i = 0; i < report.pairs.size(); ++i) {
    const PairJudgement& pair = report.pairs[i];
    Json orders = Json::array();
    for (const PairVerdict& verdict : pair.orders) {
      orders.push_back(
          {{"better", preference_name(verdict.preference)}, {"reason", verdict.reason}});
    }
    Json item = {{"scenario", report.runs[0].conversations[i].scenario->id},
                 {"orders", std::move(orders)}};
    if (pair.is_complete()) item["points"] = pair.points();
    if (!pair.fault.empty()) item["fault"] = pair.fault;
    list.push_back(std::move(item));
  }
  return {{"points", interval_json(rate.points)},
          {"significant", rate.points.differs_from(0.5)},
          {"wins", rate.wins},
          {"ties", rate.ties},
          {"losses", rate.losses},
          {"order_bound", rate.order_bound},
          {"missing", rate.missing},
          {"pairs", std::move(list)}};
}

Json scenarios_json(std::span<const Scenario> scenarios) {
  Json list = Json::array();
  for (const Scenario& scenario : scenarios) {
    list.push_back({{"id", scenario.id},
                    {"title", scenario.title},
                    {"language", scenario.language},
                    {"turns", scenario.turns.size()},
                    {"criteria", scenario.criteria.size()},
                    {"checks", scenario.n_checks()}});
  }
  return list;
}

}  // namespace

std::optional<Price> price_of(const Cost& cost, std::optional<double> price_per_hour) {
  if (!price_per_hour || cost.busy_seconds <= 0 || cost.output_tokens == 0) return std::nullopt;
  const double money = *price_per_hour * cost.busy_seconds / 3600;
  return Price{money * 1e6 / static_cast<double>(cost.output_tokens),
               money / static_cast<double>(cost.n_conversations)};
}

Json scenario_report_json(const ScenarioReport& report) {
  Json json = {
      {"temperature", report.subject.temperature},     {"seeds", report.subject.seeds},
      {"max_tokens", report.subject.max_tokens},       {"max_turns", report.subject.max_turns},
      {"scenarios", scenarios_json(report.scenarios)}, {"judge", report.judge}};
  if (!report.judge.is_null()) {
    json["judging"] = {{"orders", report.judging.orders},
                       {"tries", report.judging.tries},
                       {"max_tokens", report.judging.max_tokens}};
  }
  std::vector<std::vector<ScenarioScore>> scores;
  Json subjects = Json::array();
  for (const SubjectRun& run : report.runs) {
    scores.push_back(scenario_scores(run, report.scenarios.size()));
    subjects.push_back(subject_json(report, run, scores.back()));
  }
  json["subjects"] = std::move(subjects);
  if (scores.size() > 1) {
    json["differences"] = measures_json(run_differences(scores[0], scores[1]), true);
  }
  if (!report.pairs.empty()) json["win_rate"] = pairs_json(report);
  return json;
}

}  // namespace tq
