#include "loadgen/report.h"

#include <fmt/format.h>

#include <algorithm>

#include "loadgen/page.h"
#include "loadgen/plot.h"

namespace tq {
namespace {

constexpr size_t kMostPoints = 200;  // of a line

bool by_rate(const LoadReport& report) { return report.levels.front().level.rate > 0; }

double x_of(const LoadReport& report, const MeasuredLevel& measured) {
  return by_rate(report) ? measured.level.rate : static_cast<double>(measured.level.concurrency);
}

const char* x_name(const LoadReport& report) {
  return by_rate(report) ? "requests/s sent" : "concurrency";
}

std::string name_of(const LoadReport& report, const MeasuredLevel& measured) {
  return fmt::format("{} {:g}", x_name(report), x_of(report, measured));
}

std::string shown(double value) { return fmt::format("{:.2f}", value); }

std::string throughput_table(const LoadReport& report) {
  std::vector<std::vector<std::string>> rows{{x_name(report), "completed", "failed", "seconds",
                                              "requests/s", "good requests/s", "output tokens/s",
                                              "total tokens/s", "peak concurrency"}};
  for (const MeasuredLevel& measured : report.levels) {
    const LoadMeasures& m = measured.measures;
    rows.push_back({fmt::format("{:g}", x_of(report, measured)), std::to_string(m.completed),
                    std::to_string(m.failed), shown(measured.level.records.seconds),
                    shown(m.request_throughput), m.request_goodput ? shown(*m.request_goodput) : "",
                    shown(m.output_throughput), shown(m.total_throughput),
                    std::to_string(measured.level.records.peak_concurrency)});
  }
  return html_table(rows);
}

std::string times_table(const LoadReport& report, const TimeKind& times) {
  std::vector<std::vector<std::string>> rows{{x_name(report), "mean", "median", "std"}};
  for (const double p : report.percentiles) rows[0].push_back(percentile_name(p));
  for (const MeasuredLevel& measured : report.levels) {
    const auto summary = summarize(measured.measures.*times.values, report.percentiles);
    std::vector<std::string> row{fmt::format("{:g}", x_of(report, measured))};
    if (summary) {
      row.insert(row.end(), {shown(summary->mean), shown(summary->median), shown(summary->std)});
      for (const auto& [p, value] : summary->percentiles) row.push_back(shown(value));
    }
    row.resize(rows[0].size());
    rows.push_back(std::move(row));
  }
  return fmt::format("<h2>{}, ms</h2>\n", times.name) + html_table(rows);
}

Plot throughput_plot(const LoadReport& report) {
  PlotSeries output{"output", {}};
  PlotSeries total{"prompt and output", {}};
  for (const MeasuredLevel& measured : report.levels) {
    const double x = x_of(report, measured);
    output.points.emplace_back(x, measured.measures.output_throughput);
    total.points.emplace_back(x, measured.measures.total_throughput);
  }
  return {.title = "Throughput",
          .x_label = x_name(report),
          .y_label = "tokens/s",
          .series = {output, total},
          .mark_points = true};
}

// Median and the highest percentile at each level.
Plot times_plot(const LoadReport& report, const TimeKind& times) {
  const double high = report.percentiles.empty() ? 99 : report.percentiles.back();
  PlotSeries median{"median", {}};
  PlotSeries tail{percentile_name(high), {}};
  for (const MeasuredLevel& measured : report.levels) {
    const std::vector<double>& values = measured.measures.*times.values;
    if (values.empty()) continue;
    const double x = x_of(report, measured);
    median.points.emplace_back(x, percentile(values, 50));
    tail.points.emplace_back(x, percentile(values, high));
  }
  return {.title = times.name,
          .x_label = x_name(report),
          .y_label = "ms",
          .series = {median, tail},
          .mark_points = true};
}

// The share of requests that were as quick as x ms.
Plot cdf_plot(const LoadReport& report, const TimeKind& times) {
  Plot plot{.title = fmt::format("{}: share of requests", times.name),
            .x_label = "ms",
            .y_label = "%",
            .series = {},
            .y_most = 100};
  for (const MeasuredLevel& measured : report.levels) {
    const std::vector<double>& values = measured.measures.*times.values;
    PlotSeries series{name_of(report, measured), {}};
    const size_t n = std::min(values.size(), kMostPoints);
    for (size_t i = 0; i < n; ++i) {
      const size_t at = n < 2 ? 0 : i * (values.size() - 1) / (n - 1);
      series.points.emplace_back(
          values[at], 100 * static_cast<double>(at + 1) / static_cast<double>(values.size()));
    }
    plot.series.push_back(std::move(series));
  }
  return plot;
}

// Of the last level.
Plot tokens_plot(const LoadReport& report) {
  const MeasuredLevel& last = report.levels.back();
  const double step = std::max(last.level.records.seconds / 100, 0.1);
  PlotSeries series{"output", {}};
  double at = 0;
  for (const double tokens : tokens_over_time(last.level.records, step)) {
    const double seconds = std::min(step, last.level.records.seconds - at);
    if (at == 0 || seconds > step / 2) series.points.emplace_back(at, tokens / seconds);
    at += step;
  }
  return {.title = fmt::format("Output over time, {}", name_of(report, last)),
          .x_label = "s",
          .y_label = "tokens/s",
          .series = {series}};
}

Plot open_plot(const LoadReport& report) {
  const MeasuredLevel& last = report.levels.back();
  std::vector<std::pair<double, int>> changes;
  for (const RequestRecord& record : last.level.records.requests) {
    changes.emplace_back(record.sent, 1);
    changes.emplace_back(record.ended, -1);
  }
  std::sort(changes.begin(), changes.end());
  PlotSeries series{"requests", {}};
  const size_t stride = changes.size() / kMostPoints + 1;
  int open = 0;
  for (size_t i = 0; i < changes.size(); ++i) {
    const bool is_drawn = i % stride == 0 || i + 1 == changes.size();
    if (is_drawn) series.points.emplace_back(changes[i].first, open);  // a step
    open += changes[i].second;
    if (is_drawn) series.points.emplace_back(changes[i].first, open);
  }
  return {.title = fmt::format("Requests under way, {}", name_of(report, last)),
          .x_label = "s",
          .y_label = "requests",
          .series = {series}};
}

std::string faults_section(const LoadReport& report) {
  std::string items;
  for (const MeasuredLevel& measured : report.levels) {
    for (const auto& [kind, n] : measured.level.records.faults) {
      items += fmt::format("<li>{}</li>\n",
                           html_text(fmt::format("{}: {} {}", name_of(report, measured), n, kind)));
    }
    for (const std::string& text : measured.level.records.first_faults) {
      items += fmt::format("<li>{}</li>\n", html_text(text));
    }
  }
  return items.empty() ? "" : "<h2>Failures</h2>\n<ul>\n" + items + "</ul>\n";
}

}  // namespace

std::string report_html(const LoadReport& report) {
  std::string out = html_head(report.title, report.facts);
  out += "<h2>Throughput</h2>\n" + throughput_table(report) + faults_section(report);
  out += "<h2>Plots</h2>\n<div class=\"plots\">\n";
  if (report.levels.size() > 1) {
    out += plot_svg(throughput_plot(report));
    for (const TimeKind& times : kTimeKinds) out += plot_svg(times_plot(report, times));
  }
  out += plot_svg(cdf_plot(report, kTimeKinds[0])) + plot_svg(cdf_plot(report, kTimeKinds[3]));
  out += plot_svg(tokens_plot(report)) + plot_svg(open_plot(report)) + "</div>\n";
  for (const TimeKind& times : kTimeKinds) out += times_table(report, times);
  return out + html_foot();
}

}  // namespace tq
