#include "loadgen/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/sort_unique.h"
#include "text/utf8.h"

namespace tq {
namespace {

constexpr double kWidth = 460;
constexpr double kHeight = 280;
constexpr double kLeft = 58;
constexpr double kRight = 14;
constexpr double kTop = 34;
constexpr double kBottom = 44;
constexpr size_t kColours = 8;
constexpr size_t kMostXTicks = 12;

std::string number(double value) {
  if (value != 0 && std::abs(value) < 0.01) return fmt::format("{:.1e}", value);
  return fmt::format("{:.6g}", std::round(value * 1000) / 1000);
}

// Where values lie on the picture.
struct Axes {
  double x_least = 0;
  double x_most = 1;
  double y_most = 1;
  bool log_x = false;

  double x(double value) const {
    const double share = log_x ? std::log(value / x_least) / std::log(x_most / x_least)
                               : (value - x_least) / (x_most - x_least);
    return kLeft + share * (kWidth - kLeft - kRight);
  }
  double y(double value) const {
    return kHeight - kBottom - std::min(value / y_most, 1.0) * (kHeight - kTop - kBottom);
  }
};

std::vector<double> all_x(const Plot& plot) {
  std::vector<double> values;
  for (const PlotSeries& series : plot.series) {
    for (const auto& point : series.points) values.push_back(point.first);
  }
  sort_unique(values);
  return values;
}

Axes axes_of(const Plot& plot, const std::vector<double>& xs) {
  Axes axes;
  axes.y_most = plot.y_most;
  for (const PlotSeries& series : plot.series) {
    for (const auto& point : series.points) axes.y_most = std::max(axes.y_most, point.second);
  }
  if (plot.y_most == 0) axes.y_most *= 1.05;
  if (!(axes.y_most > 0)) axes.y_most = 1;
  if (xs.empty()) return axes;
  axes.log_x = plot.mark_points && xs.front() > 0 && xs.back() / xs.front() > 4;
  axes.x_least = axes.log_x ? xs.front() : std::min(0.0, xs.front());
  axes.x_most = xs.back() > axes.x_least ? xs.back() : axes.x_least + 1;
  return axes;
}

void add_text(std::string& out, double x, double y, std::string_view anchor,
              std::string_view text) {
  out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor,
                     html_text(text));
}

void add_line(std::string& out, std::string_view kind, std::pair<double, double> from,
              std::pair<double, double> to) {
  out +=
      fmt::format("<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n",
                  kind, from.first, from.second, to.first, to.second);
}

void add_axes(std::string& out, const Plot& plot, const Axes& axes, const std::vector<double>& xs) {
  const double floor = kHeight - kBottom;
  const double step = tick_distance(axes.y_most, 5);
  for (double value = 0; value <= axes.y_most * 1.0001; value += step) {
    add_line(out, value == 0 ? "axis" : "grid", {kLeft, axes.y(value)},
             {kWidth - kRight, axes.y(value)});
    add_text(out, kLeft - 6, axes.y(value) + 4, "end", number(value));
  }
  std::vector<double> ticks;
  if (plot.mark_points && xs.size() <= kMostXTicks) {
    ticks = xs;
  } else {
    const double distance = tick_distance(axes.x_most - axes.x_least, 6);
    for (double value = std::ceil(axes.x_least / distance) * distance;
         value <= axes.x_most * 1.0001; value += distance) {
      if (value >= axes.x_least && (value > 0 || !axes.log_x)) ticks.push_back(value);
    }
  }
  for (const double value : ticks) {
    add_line(out, "axis", {axes.x(value), floor}, {axes.x(value), floor + 4});
    add_text(out, axes.x(value), floor + 17, "middle", number(value));
  }
  add_text(out, (kLeft + kWidth - kRight) / 2, kHeight - 8, "middle", plot.x_label);
  add_text(out, 4, kTop - 10, "start", plot.y_label);
}

void add_series(std::string& out, const PlotSeries& series, const Axes& axes, size_t colour,
                bool mark_points) {
  std::string path;
  std::string dots;
  for (const auto& [x, y] : series.points) {
    path += fmt::format("{:.1f},{:.1f} ", axes.x(x), axes.y(y));
    if (!mark_points) continue;
    dots += fmt::format(
        "<circle class=\"s{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\"><title>{}</title></circle>\n",
        colour, axes.x(x), axes.y(y),
        html_text(fmt::format("{} {}: {}", series.name, number(x), number(y))));
  }
  if (path.empty()) return;
  path.pop_back();
  out += fmt::format("<polyline class=\"s{}\" points=\"{}\"/>\n{}", colour, path, dots);
}

}  // namespace

double tick_distance(double range, int n) {
  const double rough = range / n;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (rough <= factor * power) return factor * power;
  }
  return 10 * power;
}

std::string plot_svg(const Plot& given) {
  Plot plot = given;
  for (PlotSeries& series : plot.series) {
    std::erase_if(series.points, [](const auto& point) {
      return !std::isfinite(point.first) || !std::isfinite(point.second);
    });
  }
  const std::vector<double> xs = all_x(plot);
  const Axes axes = axes_of(plot, xs);
  std::string out = fmt::format(
      "<figure>\n<figcaption>{0}</figcaption>\n<svg viewBox=\"0 0 {1} {2}\" role=\"img\" "
      "aria-label=\"{0}\">\n",
      html_text(plot.title), kWidth, kHeight);
  add_axes(out, plot, axes, xs);
  for (size_t i = 0; i < plot.series.size(); ++i) {
    add_series(out, plot.series[i], axes, i % kColours, plot.mark_points);
  }
  out += "</svg>\n";
  if (plot.series.size() > 1) {
    out += "<ul class=\"legend\">";
    for (size_t i = 0; i < plot.series.size(); ++i) {
      out += fmt::format("<li class=\"s{}\">{}</li>", i % kColours, html_text(plot.series[i].name));
    }
    out += "</ul>\n";
  }
  return out + "</figure>\n";
}

std::string html_text(std::string_view text) {
  std::string out;
  for (const char c : replace_invalid_utf8(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:  // XML has no other control characters
        out += static_cast<unsigned char>(c) < ' ' && c != '\n' && c != '\t' ? ' ' : c;
    }
  }
  return out;
}

}  // namespace tq
