#include "base/log.h"

#include <fmt/chrono.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <string_view>

#include "base/log_format.h"

namespace tq {
namespace {

std::atomic<LogLevel> g_level{LogLevel::kInfo};
std::atomic<LogFormat> g_format{LogFormat::kText};

// In one call, so that lines of threads do not interleave.
void write_line(std::string line) {
  line += '\n';
  std::fwrite(line.data(), 1, line.size(), stderr);
}

void write_json_line(const char* level, const Json& fields) {
  const auto now =
      std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
  const auto ms = now.time_since_epoch().count() % 1000;
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  Json line = {{"time", fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(seconds), ms)},
               {"level", level}};
  line.update(fields);
  write_line(json_line(line));
}

}  // namespace

void set_log_level(LogLevel level) { g_level = level; }
LogLevel log_level() { return g_level; }
void set_log_format(LogFormat format) { g_format = format; }

void log_line(const char* prefix, const std::string& message) {
  if (g_format == LogFormat::kText) return write_line(prefix + message);
  const bool warns = std::string_view(prefix).starts_with("warning");
  write_json_line(warns ? "warning" : "info", {{"message", message}});
}

void log_event(const std::string& text, const Json& fields) {
  if (g_level == LogLevel::kQuiet) return;
  if (g_format == LogFormat::kText) return write_line(text);
  write_json_line("info", fields);
}

}  // namespace tq
