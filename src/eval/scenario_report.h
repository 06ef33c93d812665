// A run of scenarios as JSON and as one HTML page.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/scores.h"
#include "loadgen/page.h"

namespace tq {

struct ScenarioReport {
  std::span<const Scenario> scenarios;
  std::vector<SubjectRun> runs;      // the subject, and what it is compared with, if anything
  std::vector<PairJudgement> pairs;  // of the first with the second; may be empty
  Json judge;                        // its identity; null: none
  SubjectOptions subject;
  JudgeOptions judging;
  std::optional<double> price_per_hour;  // of the machine that answers, in some money
};

// {"scenarios": [...], "subjects": [...], "differences": ..., "win_rate": ..., "judge": ...}: what
// stands beside the fields that all results have. With transcripts.
Json scenario_report_json(const ScenarioReport& report);

// facts: hardware, command and versions, for the table at the top. Well-formed as HTML and XML.
std::string scenario_report_html(const ScenarioReport& report, std::vector<PageFact> facts);

// Money for a million output tokens and for a conversation; nothing where no answer took time.
struct Price {
  double million_tokens = 0;
  double conversation = 0;
};
std::optional<Price> price_of(const Cost& cost, std::optional<double> price_per_hour);

}  // namespace tq
