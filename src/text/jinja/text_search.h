// Searching in texts, in linear time whatever is searched for, charged before it is done.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tq::jinja {

// As string_view::find and rfind, without their quadratic worst case.
size_t find_text(std::string_view text, std::string_view part, size_t from);
size_t find_text_last(std::string_view text, std::string_view part);

}  // namespace tq::jinja
