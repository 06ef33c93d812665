// What the JSON results of all commands share (docs/cli.md, "JSON"): which command and which
// schema, which build, and for a model that was loaded what ran where and how.
#pragma once

#include <string_view>

#include "cli/command.h"
#include "cli/model_options.h"
#include "text/reasoning_parser.h"

namespace tq {

// The version of the schema of all results: raised when a field changes its meaning or goes, not
// when one is added.
constexpr int kResultSchema = 1;

// {"schema":1,"command":"bench","versions":{...}}
Json result_json(std::string_view command);

// ... and "model", "arch", "device", "settings".
Json result_json(std::string_view command, const ModelOptions& options, const LoadedModel& loaded);

// Lines of --jsonl: the object with a "type" before all else, and a piece of an answer as it comes
// ({"type":"text","text":"..."}, or "reasoning").
Json typed(std::string_view type, const Json& json);
Json piece_json(const ReasoningPiece& piece);

// {"tq":"0.1.0","build_type":"Release",...}: what this binary is, as tq version prints it.
Json versions_json();

}  // namespace tq
