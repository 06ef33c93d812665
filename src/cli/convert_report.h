// What tq convert prints when it is done.
#pragma once

#include <string>

#include "cli/command.h"
#include "convert/convert.h"

namespace tq {

// As a table, or with --json as one object.
void print_report(const ConvertReport& report, const std::string& destination,
                  const GlobalOptions& global);

}  // namespace tq
