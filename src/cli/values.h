// Values of options: one of several names, with what may have been meant when it is none of them.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace tq {

// One of the names. Help and completion show them.
CLI::Validator one_of(std::vector<std::string> names);

// A KV format, or one of the names in front of these.
CLI::Validator kv_format_value(std::vector<std::string> besides = {});

// A storage format or "auto"; of a name of another program the nearest format is told.
CLI::Validator format_value();

}  // namespace tq
