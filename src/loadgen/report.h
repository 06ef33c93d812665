// A measurement as one HTML page that needs nothing else: tables and plots, light and dark.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "loadgen/measure.h"

namespace tq {

struct MeasuredLevel {
  LoadLevel level;
  LoadMeasures measures;
};

struct LoadReport {
  std::string title;
  std::vector<std::pair<std::string, std::string>> facts;  // what was measured: name, value
  std::span<const MeasuredLevel> levels;                   // at least one
  std::span<const double> percentiles;
};

// Well-formed as HTML and as XML.
std::string report_html(const LoadReport& report);

}  // namespace tq
