// What tq eval scenarios prints.
#pragma once

#include <string>

#include "eval/scenario_report.h"

namespace tq {

// Who answered, then tables of scenarios and of measures; of two subjects with their differences.
std::string scenarios_text(const ScenarioReport& report);

}  // namespace tq
