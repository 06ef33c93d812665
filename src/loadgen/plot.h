// Line plots as SVG elements to stand in an HTML page. Colours come from the page's classes: s0 to
// s7 for lines, axis, grid, text.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tq {

struct PlotSeries {
  std::string name;
  std::vector<std::pair<double, double>> points;  // x ascending
};

struct Plot {
  std::string title;
  std::string x_label;
  std::string y_label;
  std::vector<PlotSeries> series;
  bool mark_points = false;  // dots with their values, and ticks of the x axis where points are
  double y_most = 0;         // where the y axis ends; 0: above the highest point
};

// Points that are not finite are left out.
std::string plot_svg(const Plot& plot);

// Text with what HTML and XML do not take as it is replaced.
std::string html_text(std::string_view text);

// 1, 2 or 5 times a power of ten: the distance of ticks, of which about `n` fit in the range.
double tick_distance(double range, int n);

}  // namespace tq
