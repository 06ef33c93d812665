// Plan files: formats for classes of tensors, layers and single tensors as JSON that people edit
// and reuse (docs/convert.md). Plain values; thread safe.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "convert/class_formats.h"
#include "convert/plan.h"
#include "convert/rules.h"

namespace tq {

struct PlanFile {
  FormatPlan formats;
  std::vector<Rule> rules;  // before the formats
  Json about;               // what whoever made the plan says of it; ignored when it is used
};

// Throws kInvalidArgument, naming the field, for anything that is no plan of this version: missing
// classes, other keys, formats and classes that do not exist, ranges of layers that are none.
PlanFile parse_plan(const Json& json, const std::string& name);
PlanFile read_plan(const fs::path& path);

Json plan_json(const PlanFile& plan);

// Throws kInvalidArgument for a plan with layers that the source does not have: it is another
// model's. name: of the plan, for the error.
void check_layers(const FormatPlan& plan, const Checkpoint& source, const std::string& name);

}  // namespace tq
