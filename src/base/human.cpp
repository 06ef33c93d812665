#include "base/human.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

namespace tq {
namespace {

// Three significant digits.
std::string three_digits(double value) {
  return fmt::format("{:.{}f}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0);
}

std::string scaled(double value, const std::array<const char*, 5>& units) {
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < units.size()) {
    value /= 1000;
    ++unit;
  }
  return (unit == 0 ? fmt::format("{:.0f}", value) : three_digits(value)) + units[unit];
}

}  // namespace

std::string human_bytes(double bytes) { return scaled(bytes, {" B", " kB", " MB", " GB", " TB"}); }

std::string human_count(double count) { return scaled(count, {"", "K", "M", "B", "T"}); }

std::string human_seconds(double seconds) {
  if (seconds < 10) return fmt::format("{:.2f} s", std::max(0.0, seconds));
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

}  // namespace tq
