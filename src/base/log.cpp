#include "base/log.h"

#include <atomic>
#include <cstdio>

namespace tq {
namespace {
std::atomic<LogLevel> g_level{LogLevel::kInfo};
}  // namespace

void set_log_level(LogLevel level) { g_level = level; }
LogLevel log_level() { return g_level; }
void log_line(const char* prefix, const std::string& message) {
  const std::string line = prefix + message + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);  // one call: lines of threads do not interleave
}

}  // namespace tq
