// The frame of reports: one HTML page that needs nothing else, light and dark. Well-formed as HTML
// and as XML.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tq {

using PageFact = std::pair<std::string, std::string>;  // name, value

// From the document's type to its title and the table of what was measured. Plots (plot.h, bars.h)
// get their colours from its style.
std::string html_head(std::string_view title, std::span<const PageFact> facts);
std::string html_foot();

// A table of rows; the first is the header. Cells are texts, which are escaped.
std::string html_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace tq
