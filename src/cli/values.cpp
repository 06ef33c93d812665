#include "cli/values.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "base/nearest.h"
#include "cli/habits.h"
#include "format/kv_traits.h"
#include "format/traits.h"

namespace tq {
namespace {

std::string not_one_of(const std::string& text, const std::vector<std::string>& names) {
  return fmt::format("{} is none of {}{}", text.empty() ? "an empty text" : text,
                     fmt::join(names, ", "), did_you_mean(text, names));
}

bool equal_but_for_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && edit_distance(a, b) == 0;
}

}  // namespace

CLI::Validator one_of(std::vector<std::string> names) {
  std::string shown = fmt::format("{{{}}}", fmt::join(names, ","));
  return {[names = std::move(names)](std::string& text) {
            const bool known = std::find(names.begin(), names.end(), text) != names.end();
            return known ? std::string() : not_one_of(text, names);
          },
          std::move(shown)};
}

CLI::Validator kv_format_value(std::vector<std::string> besides) {
  for (const KvFormatTraits& traits : all_kv_formats()) besides.emplace_back(traits.name);
  return one_of(std::move(besides));
}

CLI::Validator format_value() {
  std::vector<std::string> names = {"auto"};
  for (const FormatTraits& traits : all_formats()) names.emplace_back(traits.name);
  std::string shown = fmt::format("{{{}}}", fmt::join(names, ","));
  return {[names = std::move(names)](std::string& text) -> std::string {
            if (std::find(names.begin(), names.end(), text) != names.end()) return "";
            for (const FormatHabit& habit : format_habits()) {
              if (!equal_but_for_case(habit.theirs, text)) continue;
              if (habit.ours.empty()) return fmt::format("{}: {}", text, habit.why);
              return fmt::format("{} is none of tq's formats; the nearest is {}", text, habit.ours);
            }
            return not_one_of(text, names);
          },
          std::move(shown)};
}

}  // namespace tq
