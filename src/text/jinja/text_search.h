// Searching in texts, in linear time whatever is searched for, and splitting them; charged before
// it is done.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tq::jinja {

// As string_view::find and rfind, without their quadratic worst case.
size_t find_text(std::string_view text, std::string_view part, size_t from);
size_t find_text_last(std::string_view text, std::string_view part);

// Pieces of the text. After max_splits (negative: any number) the last part, or the first where it
// is split from the right, keeps what is left.
using Parts = std::vector<std::string_view>;
// At white space.
Parts split_words(std::string_view text, int64_t max_splits, bool right);
Parts split_at(std::string_view text, std::string_view separator, int64_t max_splits);
// From the end, where overlapping separators fall otherwise.
Parts split_at_right(std::string_view text, std::string_view separator, int64_t max_splits);

}  // namespace tq::jinja
