// Messages for people, on stderr: warn() always unless quiet, info() unless quiet. Thread safe.
// Results go to stdout and never through here.
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>

namespace tq {

enum class LogLevel { kQuiet, kInfo, kDebug };

void set_log_level(LogLevel level);
LogLevel log_level();
void log_line(const char* prefix, const std::string& message);

template <typename... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  if (log_level() == LogLevel::kQuiet) return;
  log_line("warning: ", fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  if (log_level() == LogLevel::kQuiet) return;
  log_line("", fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace tq
