// Bars as SVG elements to stand in an HTML page (page.h), lying, in groups: a group for each label,
// a bar in it for each series, with whiskers where an interval is known.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tq {

struct Bar {
  double value = 0;
  std::optional<std::pair<double, double>> interval = std::nullopt;
};

struct BarSeries {
  std::string name;
  std::vector<std::optional<Bar>> bars;  // one for each label; nothing: no bar
};

struct BarChart {
  std::string title;
  std::string x_label;
  double least = 0;  // where bars begin
  double most = 1;   // where the axis ends
  std::vector<std::string> labels;
  std::vector<BarSeries> series;
};

std::string bars_svg(const BarChart& chart);

}  // namespace tq
