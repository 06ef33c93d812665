// How lines of the log (base/log.h) are written: for people, or an object of JSON each.
#pragma once

#include <string>

#include "base/json.h"

namespace tq {

enum class LogFormat { kText, kJson };

void set_log_format(LogFormat format);

// One line at level info: the text, or {"time", "level"} and the fields.
void log_event(const std::string& text, const Json& fields);

}  // namespace tq
