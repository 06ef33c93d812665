#include "loadgen/bars.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "loadgen/plot.h"

namespace tq {
namespace {

constexpr double kBarWidth = 460;  // of the picture
constexpr double kBarsLeft = 130;
constexpr double kBarsRight = 40;
constexpr double kBarsTop = 8;
constexpr double kBarHeight = 11;
constexpr double kGroupGap = 9;
constexpr size_t kBarColours = 8;

}  // namespace

std::string bars_svg(const BarChart& chart) {
  const double group = kBarHeight * static_cast<double>(chart.series.size()) + kGroupGap;
  const double floor = kBarsTop + group * static_cast<double>(chart.labels.size());
  const auto x = [&](double value) {
    const double share = (value - chart.least) / (chart.most - chart.least);
    return kBarsLeft + std::clamp(share, 0.0, 1.0) * (kBarWidth - kBarsLeft - kBarsRight);
  };
  std::string out = fmt::format(
      "<figure>\n<figcaption>{0}</figcaption>\n<svg viewBox=\"0 0 {1} {2}\" role=\"img\" "
      "aria-label=\"{0}\">\n",
      html_text(chart.title), kBarWidth, floor + 36);
  const double distance = tick_distance(chart.most - chart.least, 5);
  for (int i = 0; chart.least + i * distance <= chart.most + distance * 1e-6; ++i) {
    const double at = x(chart.least + i * distance);
    out += fmt::format(
        "<line class=\"grid\" x1=\"{0:.1f}\" y1=\"{1:.1f}\" x2=\"{0:.1f}\" y2=\"{2:.1f}\"/>\n"
        "<text x=\"{0:.1f}\" y=\"{3:.1f}\" text-anchor=\"middle\">{4:g}</text>\n",
        at, kBarsTop, floor, floor + 14, std::round((chart.least + i * distance) * 1e6) / 1e6);
  }
  for (size_t l = 0; l < chart.labels.size(); ++l) {
    const double top = kBarsTop + group * static_cast<double>(l);
    out +=
        fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n",
                    kBarsLeft - 6, top + (group - kGroupGap) / 2 + 4, html_text(chart.labels[l]));
    for (size_t s = 0; s < chart.series.size(); ++s) {
      const std::optional<Bar>& bar = chart.series[s].bars[l];
      if (!bar || !std::isfinite(bar->value)) continue;
      const double y = top + kBarHeight * static_cast<double>(s);
      out += fmt::format(
          "<rect class=\"s{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{}\">"
          "<title>{}</title></rect>\n"
          "<text x=\"{:.1f}\" y=\"{:.1f}\">{:.2f}</text>\n",
          s % kBarColours, kBarsLeft, y, x(bar->value) - kBarsLeft, kBarHeight - 2,
          html_text(
              fmt::format("{}, {}: {:.3f}", chart.series[s].name, chart.labels[l], bar->value)),
          kBarWidth - kBarsRight + 6, y + 9, bar->value);
      if (!bar->interval) continue;
      out += fmt::format(
          "<line class=\"axis\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n",
          x(bar->interval->first), y + 4.5, x(bar->interval->second), y + 4.5);
    }
  }
  out +=
      fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n</svg>\n",
                  (kBarsLeft + kBarWidth - kBarsRight) / 2, floor + 31, html_text(chart.x_label));
  if (chart.series.size() > 1) {
    out += "<ul class=\"legend\">";
    for (size_t i = 0; i < chart.series.size(); ++i) {
      out += fmt::format("<li class=\"s{}\">{}</li>", i % kBarColours,
                         html_text(chart.series[i].name));
    }
    out += "</ul>\n";
  }
  return out + "</figure>\n";
}

}  // namespace tq
