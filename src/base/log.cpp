#include "base/log.h"

#include <fmt/chrono.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>

#include "base/log_format.h"

namespace tq {
namespace {

std::atomic<LogLevel> g_level{LogLevel::kInfo};
std::atomic<LogFormat> g_format{LogFormat::kText};

std::mutex g_sink_mutex;
std::shared_ptr<const LogSink> g_sink;  // null: stderr

std::shared_ptr<const LogSink> sink() {
  const std::lock_guard lock(g_sink_mutex);
  return g_sink;
}

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

void set_log_sink(LogSink given) {
  auto next = given ? std::make_shared<const LogSink>(std::move(given)) : nullptr;
  const std::lock_guard lock(g_sink_mutex);
  g_sink.swap(next);
}

void log_line(const char* prefix, const std::string& message) {
  const bool warns = std::string_view(prefix).starts_with("warning");
  if (const auto to = sink()) return (*to)(warns, message);
  if (g_format == LogFormat::kText) return write_line(prefix + message);
  write_json_line(warns ? "warning" : "info", {{"message", message}});
}

void log_event(const std::string& text, const Json& fields) {
  if (g_level == LogLevel::kQuiet) return;
  if (const auto to = sink()) return (*to)(false, text);
  if (g_format == LogFormat::kText) return write_line(text);
  write_json_line("info", fields);
}

}  // namespace tq
