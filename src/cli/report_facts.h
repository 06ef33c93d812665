// What reports say of how they came about.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "loadgen/page.h"

namespace tq {

// The words of the command line as it was typed, but for the values of keys ("--api-key").
std::vector<std::string> command_line();

// Command, version, time, and the device as results have it ({"name", "description"}, or null).
std::vector<PageFact> page_facts(const Json& device);

}  // namespace tq
