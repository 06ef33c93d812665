#include "base/human.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdint>

namespace tq {
namespace {

// Three significant digits.
std::string three_digits(double value) {
  return fmt::format("{:.{}f}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0);
}

std::string scaled(double value, const std::array<const char*, 5>& units, double step = 1000) {
  size_t unit = 0;
  while (value >= step - 0.5 && unit + 1 < units.size()) {
    value /= step;
    ++unit;
  }
  return (unit == 0 ? fmt::format("{:.0f}", value) : three_digits(value)) + units[unit];
}

// What a text says: a number and, in lower case, the unit behind it.
struct Quantity {
  double number;
  std::string unit;
};

std::optional<Quantity> read_quantity(std::string_view text) {
  Quantity quantity{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), quantity.number,
                                            std::chars_format::fixed);
  // from_chars reads "inf" and "nan", too.
  if (error != std::errc() || text.empty() ||
      (text[0] != '.' && !std::isdigit(static_cast<unsigned char>(text[0]))))
    return {};
  std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  for (const char c : unit) {
    quantity.unit += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return quantity;
}

// number * step ^ power, rounded; nothing beyond int64.
std::optional<int64_t> multiplied(double number, double step, size_t power) {
  const double value = std::round(number * std::pow(step, static_cast<double>(power)));
  if (!(value < 0x1p63)) return {};
  return static_cast<int64_t>(value);
}

}  // namespace

std::string human_bytes(double bytes) { return scaled(bytes, {" B", " kB", " MB", " GB", " TB"}); }

std::string human_binary_bytes(double bytes) {
  return scaled(bytes, {" B", " KiB", " MiB", " GiB", " TiB"}, 1024);
}

std::string human_count(double count) { return scaled(count, {"", "K", "M", "B", "T"}); }

std::string human_seconds(double seconds) {
  if (seconds < 10) return fmt::format("{:.2f} s", std::max(0.0, seconds));
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

std::optional<int64_t> parse_bytes(std::string_view text) {
  std::optional<Quantity> size = read_quantity(text);
  if (!size) return {};
  std::string& unit = size->unit;
  if (unit.ends_with('b')) unit.pop_back();
  const bool binary = unit.ends_with('i');
  if (binary) unit.pop_back();
  constexpr std::string_view kPowers = "kmgt";
  if (unit.empty()) return binary ? std::nullopt : multiplied(size->number, 1, 0);
  const size_t power = unit.size() == 1 ? kPowers.find(unit) : std::string_view::npos;
  if (power == std::string_view::npos) return {};
  return multiplied(size->number, binary ? 1024 : 1000, power + 1);
}

std::optional<int64_t> parse_tokens(std::string_view text) {
  const std::optional<Quantity> count = read_quantity(text);
  if (!count) return {};
  size_t power = 0;
  if (count->unit == "k") {
    power = 1;
  } else if (count->unit == "m") {
    power = 2;
  } else if (!count->unit.empty()) {
    return {};
  }
  const double tokens = count->number * std::pow(1024, static_cast<double>(power));
  if (tokens != std::floor(tokens)) return {};
  return multiplied(tokens, 1, 0);
}

}  // namespace tq
