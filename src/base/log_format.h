// How lines of the log (base/log.h) are written: for people, or an object of JSON each.
#pragma once

#include <functional>
#include <string>

#include "base/json.h"

namespace tq {

enum class LogFormat { kText, kJson };

void set_log_format(LogFormat format);

// Where lines go instead of stderr, for programs that the engine is part of; empty: stderr. Called
// on any thread, several at a time.
using LogSink = std::function<void(bool is_warning, const std::string& message)>;
void set_log_sink(LogSink sink);

// One line at level info: the text, or {"time", "level"} and the fields.
void log_event(const std::string& text, const Json& fields);

}  // namespace tq
