#include "cli/table.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace tq {
namespace {

// Columns a UTF-8 text takes, one a code point (we print no wide characters).
size_t width(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

void Table::add_row(std::vector<std::string> cells) {
  TQ_CHECK(cells.size() == columns_.size(), "a row of {} cells in a table of {} columns",
           cells.size(), columns_.size());
  rows_.push_back(std::move(cells));
}

void Table::add_rule() { rows_.emplace_back(); }

std::string Table::text() const {
  std::vector<size_t> widths;
  for (size_t c = 0; c < columns_.size(); ++c) {
    size_t widest = width(columns_[c].header);
    for (const auto& row : rows_) {
      if (!row.empty()) widest = std::max(widest, width(row[c]));
    }
    widths.push_back(widest);
  }
  std::string out;
  const auto add_line = [&](const auto& cell_of) {
    std::string line;
    for (size_t c = 0; c < columns_.size(); ++c) {
      const std::string cell = cell_of(c);
      const std::string padding(widths[c] - width(cell), ' ');
      if (c > 0) line += "  ";
      line += columns_[c].align == Align::kRight ? padding + cell : cell + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  };
  const auto add_rule_line = [&] {
    add_line([&](size_t c) { return std::string(widths[c], '-'); });
  };
  add_line([&](size_t c) { return columns_[c].header; });
  add_rule_line();
  for (const auto& row : rows_) {
    if (row.empty()) {
      add_rule_line();
    } else {
      add_line([&](size_t c) { return row[c]; });
    }
  }
  return out;
}

}  // namespace tq
