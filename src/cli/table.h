// Text tables with aligned columns, and numbers as people read them. Plain values; no thread rule.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tq {

class Table {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string header;
    Align align = Align::kRight;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  // As many cells as there are columns.
  void add_row(std::vector<std::string> cells);
  // A horizontal line, to set totals apart.
  void add_rule();
  // Header, rule and rows; every line ends with a newline and has no trailing blanks.
  std::string text() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;  // an empty row is a rule
};

}  // namespace tq
