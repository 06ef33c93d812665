// "Did you mean ...?": which of the known names somebody meant who wrote another one.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tq {

// Insertions, deletions, replacements and swaps of neighbours that turn a into b, each counted once
// (optimal string alignment). Upper and lower case are the same, and so are '_' and '-'.
size_t edit_distance(std::string_view a, std::string_view b);

// The names that `word` can have been meant for, the nearest first, at most three: those that begin
// with it (from three characters on) and those whose distance is at most a third of its length, of
// which only the nearest.
std::vector<std::string> nearest_names(std::string_view word, std::span<const std::string> names);

// "; did you mean A or B?", or nothing where no name is near.
std::string did_you_mean(std::string_view word, std::span<const std::string> names);

// "; did you mean DIR/NAME?" for a path that does not exist, beside names like it; else empty.
// Never throws for what it cannot read.
std::string sibling_hint(const std::filesystem::path& path);

}  // namespace tq
