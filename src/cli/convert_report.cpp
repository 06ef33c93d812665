#include "cli/convert_report.h"

#include <fmt/format.h>

#include "base/human.h"
#include "cli/result.h"
#include "cli/table.h"
#include "session/conversion.h"

namespace tq {
namespace {

std::string error_or_dash(const ReportRow& row) {
  return row.lossy && row.stats.squared_error > 0 ? fmt::format("{:.5f}", row.stats.rel_mse())
                                                  : "-";
}

// The time against its floor: what encoding and writing, as measured in this run, take by
// themselves.
std::string floor_line(const ConvertReport& report) {
  const Workload& work = report.work;
  const double encode_seconds = work.encode_seconds();
  return fmt::format(
      "encoding alone takes {} ({} weights/s on {} threads), writing alone {} ({}/s)\n",
      human_seconds(encode_seconds),
      human_count(static_cast<double>(work.n_weights) / encode_seconds), work.n_threads,
      human_seconds(work.write_seconds),
      human_bytes(static_cast<double>(work.written_bytes) / work.write_seconds));
}

void print_table(const ConvertReport& report) {
  Table table({{"class", Table::Align::kLeft},
               {"format", Table::Align::kLeft},
               {"tensors"},
               {"parameters"},
               {"bits/weight"},
               {"relMSE"},
               {"bytes"}});
  int64_t n_tensors = 0;
  for (const ReportRow& row : report.rows) {
    n_tensors += row.n_tensors;
    table.add_row({std::string(tensor_class_name(row.tensor_class)), row.format,
                   std::to_string(row.n_tensors),
                   human_count(static_cast<double>(row.n_parameters)),
                   fmt::format("{:.3f}", row.bits_per_weight()), error_or_dash(row),
                   human_bytes(static_cast<double>(row.stored_bytes))});
  }
  ReportRow total;
  total.n_parameters = report.n_parameters;
  total.stored_bytes = report.stored_bytes;
  table.add_rule();
  table.add_row({"total", "", std::to_string(n_tensors),
                 human_count(static_cast<double>(report.n_parameters)),
                 fmt::format("{:.3f}", total.bits_per_weight()), "",
                 human_bytes(static_cast<double>(report.stored_bytes))});
  std::string text = table.text();
  const auto source_bytes = static_cast<double>(report.source_bytes);
  text += fmt::format("{} -> {}, {:.2f} times smaller; {}", human_bytes(source_bytes),
                      human_bytes(static_cast<double>(report.stored_bytes)),
                      source_bytes / static_cast<double>(report.stored_bytes),
                      human_seconds(report.seconds));
  text += report.resumed > 0 ? fmt::format(", {} tensors from an earlier run\n", report.resumed)
                             : fmt::format(", {:.3f} GB/s\n", source_bytes * 1e-9 / report.seconds);
  if (report.work.n_weights > 0) text += floor_line(report);
  if (report.non_finite > 0) {
    text += fmt::format("{} weights were not finite and are stored as 0\n", report.non_finite);
  }
  print_text(text);
}

void print_object(const ConvertReport& report, const std::string& destination) {
  Json json = result_json("convert");
  json.update(conversion_json(report, destination));
  print_json(json);
}

}  // namespace

void print_report(const ConvertReport& report, const std::string& destination,
                  const GlobalOptions& global) {
  if (global.json) {
    print_object(report, destination);
  } else {
    print_table(report);
  }
}

}  // namespace tq
