#include <fmt/format.h>

#include "eval/scenario_report.h"
#include "loadgen/bars.h"
#include "loadgen/plot.h"

namespace tq {
namespace {

using Rows = std::vector<std::vector<std::string>>;

constexpr double kWorstScore = 1;
constexpr double kBestScore = 5;

std::string score_text(const std::optional<double>& value) {
  return value ? fmt::format("{:.2f}", *value) : "";
}

std::string share_text(const std::optional<double>& value) {
  return value ? fmt::format("{:.0f} %", 100 * *value) : "";
}

// A run of the report with its scores.
struct Scored {
  const SubjectRun* run;
  std::vector<ScenarioScore> scores;
  std::vector<Measure> measures;
};

std::vector<Scored> score_all(const ScenarioReport& report) {
  std::vector<Scored> out;
  for (const SubjectRun& run : report.runs) {
    auto scores = scenario_scores(run, report.scenarios.size());
    auto measures = run_measures(scores);
    out.push_back({&run, std::move(scores), std::move(measures)});
  }
  return out;
}

std::string measures_section(const ScenarioReport& report, const std::vector<Scored>& scored) {
  Rows rows{{"measure"}};
  for (const Scored& one : scored) rows[0].push_back(one.run->name);
  std::vector<Measure> differences;
  if (scored.size() > 1) {
    rows[0].push_back("difference");
    differences = run_differences(scored[0].scores, scored[1].scores);
  }
  for (const Measure& measure : scored[0].measures) {
    std::vector<std::string> row{measure.name};
    for (const Scored& one : scored) {
      const Measure* const found = find_measure(one.measures, measure.name);
      row.push_back(found == nullptr ? "" : interval_text(found->interval));
    }
    if (const Measure* const difference = find_measure(differences, measure.name)) {
      row.push_back(interval_text(difference->interval) +
                    (difference->interval.differs_from(0) ? " *" : ""));
    }
    row.resize(rows[0].size());
    rows.push_back(std::move(row));
  }
  std::string out = "<h2>Scores</h2>\n" + html_table(rows);
  out +=
      "<p class=\"note\">judged: 1 to 5, the mean of criteria; checks: the share that passed. In "
      "brackets 95 % intervals by the bootstrap over scenarios";
  out += scored.size() > 1 ? "; * marks differences whose interval leaves out 0.</p>\n" : ".</p>\n";
  if (report.pairs.empty()) return out;
  const WinRate rate = win_rate(report.pairs, report.scenarios.size());
  return out + "<h2>Blind pairs</h2>\n" +
         html_table(
             {{"points of the first", "wins", "ties", "losses", "of the ties by order",
               "not judged"},
              {interval_text(rate.points) + (rate.points.differs_from(0.5) ? " *" : ""),
               std::to_string(rate.wins), std::to_string(rate.ties), std::to_string(rate.losses),
               std::to_string(rate.order_bound), std::to_string(rate.missing)}});
}

BarChart criteria_chart(const std::vector<Scored>& scored) {
  BarChart chart{.title = "Criteria",
                 .x_label = "score, 1 to 5",
                 .least = kWorstScore,
                 .most = kBestScore,
                 .labels = {},
                 .series = {}};
  for (const Measure& measure : scored[0].measures) {
    if (measure.name != "checks") chart.labels.push_back(measure.name);
  }
  for (const Scored& one : scored) {
    BarSeries series{one.run->name, {}};
    for (const std::string& label : chart.labels) {
      const Measure* const found = find_measure(one.measures, label);
      series.bars.emplace_back();
      if (found == nullptr) continue;
      series.bars.back() =
          Bar{found->interval.mean, std::pair(found->interval.low, found->interval.high)};
    }
    chart.series.push_back(std::move(series));
  }
  return chart;
}

BarChart checks_chart(const ScenarioReport& report, const std::vector<Scored>& scored) {
  BarChart chart{
      .title = "Checks by scenario", .x_label = "share that passed", .labels = {}, .series = {}};
  for (const Scenario& scenario : report.scenarios) chart.labels.push_back(scenario.id);
  for (const Scored& one : scored) {
    BarSeries series{one.run->name, {}};
    for (const ScenarioScore& score : one.scores) {
      series.bars.emplace_back();
      if (score.checks) series.bars.back() = Bar{*score.checks};
    }
    chart.series.push_back(std::move(series));
  }
  return chart;
}

std::string scenario_section(const ScenarioReport& report, const std::vector<Scored>& scored) {
  Rows rows{{"scenario", "language"}};
  for (const Scored& one : scored) {
    rows[0].push_back("judged: " + one.run->name);
    rows[0].push_back("checks: " + one.run->name);
  }
  for (size_t i = 0; i < report.scenarios.size(); ++i) {
    std::vector<std::string> row{report.scenarios[i].title, report.scenarios[i].language};
    for (const Scored& one : scored) {
      row.push_back(score_text(one.scores[i].judged));
      row.push_back(share_text(one.scores[i].checks));
    }
    rows.push_back(std::move(row));
  }
  return "<h2>Scenarios</h2>\n" + html_table(rows);
}

std::string cost_section(const ScenarioReport& report) {
  Rows rows{{"subject", "answers", "prompt tokens", "output tokens", "busy s", "output tokens/s",
             "answer s, median", "p95"}};
  if (report.price_per_hour) {
    rows[0].push_back("price of a million output tokens");
    rows[0].push_back("of a conversation");
  }
  for (const SubjectRun& run : report.runs) {
    const Cost cost = cost_of(run);
    const double rate =
        cost.busy_seconds > 0 ? static_cast<double>(cost.output_tokens) / cost.busy_seconds : 0;
    std::vector<std::string> row{run.name,
                                 std::to_string(cost.n_answers),
                                 std::to_string(cost.prompt_tokens),
                                 std::to_string(cost.output_tokens),
                                 fmt::format("{:.1f}", cost.busy_seconds),
                                 fmt::format("{:.1f}", rate),
                                 fmt::format("{:.2f}", cost.median_seconds),
                                 fmt::format("{:.2f}", cost.slow_seconds)};
    if (const auto price = price_of(cost, report.price_per_hour)) {
      row.push_back(fmt::format("{:.4g}", price->million_tokens));
      row.push_back(fmt::format("{:.4g}", price->conversation));
    }
    row.resize(rows[0].size());
    rows.push_back(std::move(row));
  }
  return "<h2>Cost and latency</h2>\n" + html_table(rows);
}

std::string said(std::string_view who, std::string_view text) {
  return fmt::format("<p class=\"note\">{}</p>\n<p class=\"said\">{}</p>\n", html_text(who),
                     html_text(text));
}

std::string judgement_text(const Judgement& judgement) {
  if (!judgement.fault.empty()) {
    return fmt::format("<p class=\"note\">{}</p>\n", html_text(judgement.fault));
  }
  if (!judgement.is_complete()) return "";
  Rows rows{{"criterion", "score", "reasons"}};
  for (size_t c = 0; c < judgement.orders.front().size(); ++c) {
    std::string reasons;
    for (const auto& order : judgement.orders) {
      reasons +=
          fmt::format("{}{}: {}", reasons.empty() ? "" : " | ", order[c].score, order[c].reason);
    }
    rows.push_back(
        {judgement.orders.front()[c].criterion, fmt::format("{:g}", judgement.score(c)), reasons});
  }
  return html_table(rows);
}

std::string side(const SubjectRun& run, size_t i) {
  const Conversation& conversation = run.conversations[i];
  std::string out = fmt::format("<div>\n<h3>{}</h3>\n", html_text(run.name));
  for (const SaidTurn& turn : conversation.turns) {
    out += said("user", turn.user);
    if (!turn.answer.reasoning.empty()) {
      out += fmt::format("<details><summary>reasoning, not judged</summary>\n{}</details>\n",
                         said("", turn.answer.reasoning));
    }
    out += said(turn.answer.cut ? "assistant (cut by the limit)" : "assistant", turn.answer.text);
    for (const CheckResult& check : turn.checks) {
      out += fmt::format("<p class=\"note\">{} {}</p>\n",
                         check.passed ? "passed:" : "FAILED:", html_text(check.name));
    }
  }
  if (!conversation.fault.empty()) out += said("no answer", conversation.fault);
  if (!run.judgements.empty()) out += judgement_text(run.judgements[i]);
  return out + "</div>\n";
}

std::string pair_text(const PairJudgement& pair) {
  std::string out;
  for (size_t o = 0; o < pair.orders.size(); ++o) {
    const Preference preference = pair.orders[o].preference;
    const bool first = (preference == Preference::kFirst) == (o == 0);
    const char* better = preference == Preference::kTie ? "neither" : first ? "first" : "second";
    out +=
        fmt::format("<p class=\"note\">pair, {} shown first: the {} is better: {}</p>\n",
                    o == 0 ? "the first" : "the second", better, html_text(pair.orders[o].reason));
  }
  if (!pair.fault.empty()) out += fmt::format("<p class=\"note\">{}</p>\n", html_text(pair.fault));
  return out;
}

std::string transcripts(const ScenarioReport& report) {
  std::string out = "<h2>Transcripts</h2>\n";
  for (size_t i = 0; i < report.runs[0].conversations.size(); ++i) {
    const Conversation& conversation = report.runs[0].conversations[i];
    out += fmt::format(
        "<details><summary>{}</summary>\n",
        html_text(fmt::format("{}, seed {}", conversation.scenario->title, conversation.seed)));
    if (!conversation.scenario->system.empty()) {
      out += said("system", conversation.scenario->system);
    }
    if (!report.pairs.empty()) out += pair_text(report.pairs[i]);
    out += "<div class=\"sides\">\n";
    for (const SubjectRun& run : report.runs) out += side(run, i);
    out += "</div>\n</details>\n";
  }
  return out;
}

}  // namespace

std::string scenario_report_html(const ScenarioReport& report, std::vector<PageFact> facts) {
  const std::vector<Scored> scored = score_all(report);
  for (const SubjectRun& run : report.runs) facts.emplace_back(run.name, json_line(run.identity));
  facts.emplace_back("judge", report.judge.is_null() ? "none" : json_line(report.judge));
  std::string out = html_head("tq eval scenarios: " + report.runs[0].name, facts);
  out += measures_section(report, scored) + "<div class=\"plots\">\n";
  if (!report.judge.is_null()) out += bars_svg(criteria_chart(scored));
  out += bars_svg(checks_chart(report, scored)) + "</div>\n";
  out += scenario_section(report, scored) + cost_section(report) + transcripts(report);
  return out + html_foot();
}

}  // namespace tq
