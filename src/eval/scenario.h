// Scenarios: conversations that a model is led through, with what is asked of its answers. Files of
// JSON; docs/evaluation.md documents the schema.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "eval/check.h"

namespace tq {

// What the user says instead when the answer before was so.
struct Branch {
  Check when;
  std::string user;
};

struct Turn {
  std::string user;
  std::vector<Branch> branches;  // the first that holds of the answer before; none: `user`
  std::vector<Check> checks;     // of the answer to this turn
};

// What a judge scores from 1 to 5.
struct Criterion {
  std::string name;      // the same in all scenarios that ask for the same: "accuracy"
  std::string question;  // "Are prices and delivery times those of the product sheet?"
};

struct Scenario {
  std::string id;        // the file's name without ".json"
  std::string title;     // "Technical support in Finnish"
  std::string language;  // of the user: "en", "fi", "sv"
  std::string system;
  std::vector<Turn> turns;  // at least one
  std::vector<Criterion> criteria;

  int64_t n_checks() const;
};

// Throws kCorrupt naming the file and the place for what is no scenario.
Scenario read_scenario(std::string_view text, const std::string& id, const std::string& file);

// Those that are part of the program (eval/scenarios), in the order of their names.
std::vector<Scenario> built_in_scenarios();

// All *.json of a folder, in the order of their names. Throws kNotFound where there are none, and
// what read_scenario() throws.
std::vector<Scenario> read_scenarios(const std::string& folder);

// Those of these ids, in the list's order; all where the list is empty. Throws kNotFound, naming
// those that there are.
std::vector<Scenario> pick_scenarios(std::vector<Scenario> all,
                                     const std::vector<std::string>& ids);

// What the user says at a turn, after this answer.
const std::string& user_text(const Turn& turn, std::string_view answer_before);

// A file of eval/scenarios. Made by cmake/EmbedScenarios.cmake.
struct EmbeddedScenario {
  std::string_view id;
  std::string_view text;
};
std::vector<EmbeddedScenario> embedded_scenarios();

}  // namespace tq
