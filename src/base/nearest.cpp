#include "base/nearest.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace tq {
namespace {

constexpr size_t kMaxNames = 3;
constexpr size_t kMaxLength = 256;  // the distance takes length * length steps

char folded(char c) {
  if (c == '_') return '-';
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool begins_with(std::string_view text, std::string_view start) {
  return text.size() >= start.size() &&
         std::equal(start.begin(), start.end(), text.begin(),
                    [](char a, char b) { return folded(a) == folded(b); });
}

}  // namespace

size_t edit_distance(std::string_view a, std::string_view b) {
  // Rows i - 2, i - 1 and i of the usual table.
  std::vector<size_t> before_last;
  std::vector<size_t> last(b.size() + 1);
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const char x = folded(a[i - 1]);
      const char y = folded(b[j - 1]);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (x == y ? 0 : 1)});
      if (i > 1 && j > 1 && x == folded(b[j - 2]) && y == folded(a[i - 2])) {
        row[j] = std::min(row[j], before_last[j - 2] + 1);
      }
    }
    before_last = last;
    last = row;
  }
  return last[b.size()];
}

std::vector<std::string> nearest_names(std::string_view word, std::span<const std::string> names) {
  constexpr size_t kShortestStart = 3;
  if (word.empty() || word.size() > kMaxLength) return {};
  std::vector<std::string> starts;
  std::vector<std::string> near;
  size_t least = std::max<size_t>(1, word.size() / 3);
  for (const std::string& name : names) {
    if (name.size() > kMaxLength) continue;
    if (word.size() >= kShortestStart && begins_with(name, word)) {
      starts.push_back(name);
      continue;
    }
    const size_t distance = edit_distance(word, name);
    // As many changes as there are letters would turn it into anything.
    if (distance > least || distance >= std::min(word.size(), name.size())) continue;
    if (distance < least) near.clear();
    least = distance;
    near.push_back(name);
  }
  std::vector<std::string>& found = starts;
  found.insert(found.end(), near.begin(), near.end());
  std::vector<std::string> unique;
  for (const std::string& name : found) {
    if (std::find(unique.begin(), unique.end(), name) == unique.end()) unique.push_back(name);
  }
  if (unique.size() > kMaxNames) unique.resize(kMaxNames);
  return unique;
}

std::string did_you_mean(std::string_view word, std::span<const std::string> names) {
  const std::vector<std::string> near = nearest_names(word, names);
  if (near.empty()) return "";
  return fmt::format("; did you mean {}?", fmt::join(near, " or "));
}

std::string sibling_hint(const std::filesystem::path& path) {
  constexpr size_t kMaxEntries = 10'000;
  const std::filesystem::path folder =
      path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    if (names.size() == kMaxEntries) break;
    names.push_back(at->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  names = nearest_names(path.filename().string(), names);
  for (std::string& name : names) name = (path.parent_path() / name).string();
  return names.empty() ? "" : fmt::format("; did you mean {}?", fmt::join(names, " or "));
}

}  // namespace tq
